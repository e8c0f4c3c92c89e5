"""LibreNMS by emulation: its program is not in Debian. What it does to a definition is done here with net-snmp: walk each table with
the flags that are given, build OIDs of the indices as they were printed, poll those, translate states.

A sensor that yields nothing raises nothing in LibreNMS, so its service check_snmp is run too, as the how-to sets it up.
"""

import collections
import re

import yaml

from manager import *

HEALTH = f".{ROOT}.1.1.1.1.0"


class LibreNms:
    expected = {
        "AgentStopped": ["service UNKNOWN"],
        "SnmpdStopped": ["service UNKNOWN"],
        "InstanceStopped": ["service CRITICAL", "Postfix instance postfix-out is stopped"],
        "LogUnreadable": ["service WARNING", "Postfix source postfix-out log is failing"],
    }
    forbidden = ["Postfix instance postfix is"]

    def start(self, processes):
        self.definition = yaml.safe_load(shipped("librenms/postfix-agentx.yaml"))
        self.sensors = {}

    def walk(self, oid, flags):
        command = ["snmpbulkwalk", "-v2c", "-c", "public", "-Cr25", *flags, "-Ih", "-m", "POSTFIX-MIB", "-M", os.environ["MIB_PATH"], f"udp:127.0.0.1:{PORT}", oid]
        rows = collections.defaultdict(dict)
        for line in must(command).splitlines():
            if match := re.match(r"(\w+)\.(\S+) = (.*)", line):
                rows[match[2]][match[1]] = match[3].strip('"')
        return rows

    def get(self, oids):
        found = {}
        for at in range(0, len(oids), 40):
            command = ["snmpget", "-v2c", "-c", "public", "-t1", "-r0", "-OUQn", "-m", "", f"udp:127.0.0.1:{PORT}", *oids[at : at + 40]]
            for line in run(command)[1].splitlines():
                oid, _, value = line.partition(" = ")
                if value.lstrip("-").isdigit():
                    found[oid] = int(value)
        return found

    def discover(self, flags=None):
        found, walked = {}, {}
        for kind, body in self.definition["modules"]["sensors"].items():
            for entry in body["data"]:
                if entry["oid"] not in walked:
                    walked[entry["oid"]] = self.walk(entry["oid"], flags or entry["snmp_flags"])
                for index, row in walked[entry["oid"]].items():
                    if entry["value"] not in row:
                        continue
                    filled = {key: re.sub(r"{{ \$(\w+) }}", lambda m: index if m[1] == "index" else row[m[1]], entry[key]) for key in ("num_oid", "descr")}
                    assert (kind, filled["descr"]) not in found, filled
                    found[kind, filled["descr"]] = (filled["num_oid"], {state["value"]: state for state in entry.get("states", [])})
        return found

    def ready(self):
        self.sensors = self.discover()
        oids = [oid for oid, _ in self.sensors.values()]
        polled = self.get(oids)
        bad = [oid for oid in oids if oid not in polled]
        assert not bad, bad
        # The reason for the flag: with LibreNMS' own ones it polls what is not there.
        wrong = [oid for oid, _ in self.discover(["-OteQUs"]).values() if oid not in self.get([oid])]
        assert wrong, "the flag b would not be needed"
        both = [any(descr == f"Postfix {name} deferred" for _, descr in self.sensors) for name in ("postfix", "postfix-out")]
        return "yes" if len(oids) > 50 and all(both) else f"{len(oids)} sensors, {both}"

    def alarms(self):
        found = set()
        polled = self.get([oid for oid, states in self.sensors.values() if states])
        for (_, descr), (oid, states) in self.sensors.items():
            if states and oid in polled:
                state = states[polled[oid]]
                if state["generic"]:
                    found.add(f"{descr} is {state['descr']}")
        plugin = ["/usr/lib/nagios/plugins/check_snmp", "-H", "127.0.0.1", "-p", PORT, "-C", "public", "-t", "1", "-e", "1", "-o", HEALTH, "-w", "1:1,", "-c", "1:2,"]
        code, _ = run(plugin)
        if code:
            found.add("service " + ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code])
        return found


if __name__ == "__main__":
    serve(LibreNms())
