"""Zabbix 7.0, which is in Debian 13: run by chroot from a tree that tests/managers/tree.sh made. As zabbix.py otherwise."""

import os
import pathlib

os.environ.setdefault("ZABBIX_TREE", str(pathlib.Path(os.environ["REPOSITORY"], os.environ.get("CARGO_TARGET_DIR", "target"), "debian13")))

import zabbix
from manager import serve

if __name__ == "__main__":
    serve(zabbix.Zabbix())
