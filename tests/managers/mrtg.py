"""MRTG with the shipped mrtg.cfg: each question is one of its runs. What cron would mail and what ThreshProgI is run for are its complaints."""

import re

from manager import *


class Mrtg:
    expected = {
        "AgentStopped": ["postfix-health unknown"],
        "SnmpdStopped": ["postfix-health unknown"],
        "InstanceStopped": ["postfix-health over"],
        "LogUnreadable": ["postfix-health over"],
    }

    def start(self, processes):
        text = shipped("mrtg/mrtg.cfg").replace("public@localhost::::2", f"public@127.0.0.1:{PORT}:1:1::2")
        for name in ("/var/www/html/mrtg", "/var/lib/mrtg"):
            assert f": {name}\n" in text
            text = text.replace(f": {name}\n", f": {DIRECTORY}\n")
        for name, word in (("/usr/local/bin/alarm-over", "over-end"), ("/usr/local/bin/alarm", "over")):
            program = DIRECTORY / word
            program.write_text(f'#!/bin/sh\necho "$1 {word}" >>{DIRECTORY}/told\n')
            program.chmod(0o755)
            text = text.replace(f": {name}\n", f": {program}\n")
        self.conf = DIRECTORY / "mrtg.cfg"
        # It judges what RRDtool has made of the values, a step later; five minutes without this.
        self.conf.write_text(text.replace("LogFormat: rrdtool", "LogFormat: rrdtool\nInterval: 1"))

    def poll(self):
        ran = subprocess.run(["mrtg", "--logging", str(DIRECTORY / "mrtg.log"), str(self.conf)], env=os.environ | {"LANG": "C", "LC_ALL": "C"}, capture_output=True, text=True, timeout=120)
        log = (DIRECTORY / "mrtg.log").read_text(errors="replace")
        (DIRECTORY / "mrtg.log").write_text("")
        return ran.stdout + ran.stderr + log

    def last(self, target):
        """The two last values as rrdtool has them; None where it was unknown."""
        text = must(["rrdtool", "info", str(DIRECTORY / f"{target}.rrd")])
        found = re.findall(r'ds\[ds[01]\]\.last_ds = "([^"]*)"', text)
        return [None if value in ("U", "UNKN") else int(float(value)) for value in found]

    def ready(self):
        self.poll()
        queue = self.last("postfix-queue")
        return "yes" if queue[0] == 6 and self.last("postfix-mail")[0] else f"postfix-queue is {queue}"

    def alarms(self):
        self.poll()
        path = DIRECTORY / "told"
        told = dict(line.split(" ") for line in path.read_text().splitlines()) if path.exists() else {}
        found = {f"{target} over" for target, word in told.items() if word == "over"}
        return found | {f"{target} unknown" for target in ("postfix-health", "postfix-queue") if None in self.last(target)}


if __name__ == "__main__":
    serve(Mrtg())
