"""Writes every file of integrations/ that is made from the MIB, or says which differ.

    python3 integrations/generate/generate.py            writes
    python3 integrations/generate/generate.py --check    exit status 1 where a file is not what would be written
"""

import pathlib
import sys

import exporter
import grafana
import rules
from mib import REPOSITORY, Mib


def files(mib):
    yield "prometheus/generator.yml", exporter.generator(mib)
    yield "prometheus/snmp.yml", exporter.new(mib)
    yield "prometheus/snmp-0.22.yml", exporter.old(mib)
    yield "prometheus/postfix.rules.yml", rules.rules(mib)
    yield "grafana/postfix.json", grafana.dashboard(mib)


def main():
    check = "--check" in sys.argv[1:]
    differ = []
    for name, text in files(Mib()):
        path = REPOSITORY / "integrations" / name
        if path.exists() and path.read_text() == text:
            continue
        differ.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in differ:
        print(("differs" if check else "written") + f": integrations/{name}")
    if check and differ:
        print("`make integrations` writes them", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
