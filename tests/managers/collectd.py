"""collectd with the shipped configuration: values by its csv plugin, complaints as its threshold plugin writes them."""

import re

from manager import *

HEAD = """
Hostname "test"
FQDNLookup false
BaseDir "{directory}"
PIDFile "{directory}/collectd.pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{directory}/log"
  Timestamp true
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{directory}/csv"
  StoreRates false
</Plugin>
"""


class Collectd:
    expected = {
        "AgentStopped": ["postfixHealth missing"],
        "SnmpdStopped": ["postfixHealth missing"],
        "InstanceStopped": ["postfixHealth FAILURE", "postfixInstancesDown FAILURE"],
        "LogUnreadable": ["postfixSourcesFailing WARNING", "postfixHealth WARNING"],
    }

    def start(self, processes):
        text = shipped("collectd/postfix-agentx.conf")
        for real, here in (('Address "127.0.0.1:161"', f'Address "127.0.0.1:{PORT}"\n    Timeout 1\n    Retries 0'), ("    Interval 60", "    Interval 1")):
            assert real in text, real
            text = text.replace(real, here)
        conf = DIRECTORY / "collectd.conf"
        conf.write_text(HEAD.format(directory=DIRECTORY) + text)
        must(["collectd", "-t", "-C", str(conf)])
        processes.start("collectd", ["collectd", "-f", "-C", str(conf)])

    def last(self, kind, name):
        """The last value written of a series; None where there is none."""
        files = sorted((DIRECTORY / "csv/mx/snmp").glob(f"{kind}-{name}-2*"))
        # It may be just being written.
        lines = files[-1].read_text().splitlines() if files else []
        return (lines[-1].split(",") + [""])[1] or None if lines else None

    def ready(self):
        missing = [name for name in ("postfixHealth", "postfixQueueMessages-postfix deferred", "postfixQueueMessages-postfix-out deferred") if self.last("gauge", name) is None]
        missing += [name for name in ("postfixTotalReceived", "postfixMailSent-postfix-out") if self.last("derive", name) is None]
        return "yes" if not missing else f"no value of {missing}"

    def alarms(self):
        found = {}
        for line in (DIRECTORY / "log").read_text(errors="replace").splitlines():
            match = re.search(r"Notification: severity = (\w+), .*type_instance = (\w+), message = (.*)", line)
            if match:
                severity, name, text = match.groups()
                # The same severity for a value that is bad and for one that is not there; the text tells them apart.
                found[name] = "missing" if "not been updated" in text or "nan" in text else severity
                if severity == "OKAY":
                    found.pop(name)
        return {f"{name} {how}" for name, how in found.items()}


if __name__ == "__main__":
    serve(Collectd())
