"""Icinga 2 with the shipped configuration: what it notifies of is written to a file."""

from manager import *

HOST = """
include <itl>
const PluginDir = "/usr/lib/nagios/plugins"
object CheckerComponent "checker" {{ }}
object NotificationComponent "notification" {{ }}
object FileLogger "main" {{ severity = "warning", path = "{directory}/icinga.log" }}
object User "somebody" {{ }}
object NotificationCommand "note" {{
  command = [ "{directory}/note", "$service.name$", "$service.state$", "$service.output$" ]
}}
apply Notification "note" to Service {{
  command = "note"
  users = [ "somebody" ]
  interval = 0
  assign where true
}}
object Host "mx" {{
  address = "127.0.0.1"
  check_command = "dummy"
  vars.snmp_port = {port}
  vars.postfix_snmp = true
  vars.postfix_status = true
  vars.postfix_instances = {{ "postfix" = 1, "postfix-out" = 2 }}
}}
"""


class Icinga:
    expected = {
        "AgentStopped": ["postfix health UNKNOWN", "postfix UNKNOWN"],
        # CRITICAL where check_snmp itself gives up before snmpget does, as with the shipped 10 s and 2 retries.
        "SnmpdStopped": ["postfix health UNKNOWN", "postfix UNKNOWN"],
        "InstanceStopped": ["postfix health CRITICAL", "postfix state postfix-out CRITICAL", "postfix CRITICAL"],
        "LogUnreadable": ["postfix sources WARNING", "postfix health WARNING"],
    }
    # What runs on is not complained about. What is UNKNOWN behind a cause is mostly kept quiet by the dependencies, but not in
    # every order in which the checks may come.
    forbidden = ["postfix state postfix CRITICAL"]

    def start(self, processes):
        open_for_others(DIRECTORY)
        text = shipped("icinga2/postfix-agentx.conf").replace("/usr/bin/postfix-agentx", os.environ["AGENT"])
        for slow, quick in (("check_interval = 1m", "check_interval = 2s"), ("retry_interval = 30s", "retry_interval = 2s"), ("postfix_timeout = 10", "postfix_timeout = 2"), ("postfix_retries = 2", "postfix_retries = 0")):
            assert slow in text, slow
            text = text.replace(slow, quick)
        (DIRECTORY / "postfix.conf").write_text(text)
        (DIRECTORY / "icinga2.conf").write_text(HOST.format(directory=DIRECTORY, port=PORT) + f'include "{DIRECTORY}/postfix.conf"\n')
        note = DIRECTORY / "note"
        note.write_text(f'#!/bin/sh\nprintf "%s\\t%s\\t%s\\n" "$1" "$2" "$3" >>{DIRECTORY}/notes\n')
        note.chmod(0o755)
        directories = []
        for name in ("DataDir", "LogDir", "CacheDir", "SpoolDir", "InitRunDir", "ConfigDir"):
            path = DIRECTORY / name
            path.mkdir()
            directories += ["-D", f"{name}={path}"]
        environment = os.environ | {"ICINGA2_USER": "root", "ICINGA2_GROUP": "root", "MP_STATE_PATH": str(DIRECTORY), "HOME": str(DIRECTORY)}
        command = ["icinga2", "daemon", "-c", str(DIRECTORY / "icinga2.conf"), *directories]
        must([*command, "-C"], env=environment)
        processes.start("icinga2", command, env=environment)

    def notes(self):
        path = DIRECTORY / "notes"
        return [line.split("\t") for line in path.read_text(errors="replace").splitlines()] if path.exists() else []

    def ready(self):
        plugin = ["/usr/lib/nagios/plugins/check_snmp", "-H", "127.0.0.1", "-p", PORT, "-C", "public", "-o", f".{ROOT}.1.1.1.1.0,.{ROOT}.1.1.1.2.0", "-w", "1:1,", "-c", "1:2,"]
        code, text = run(plugin)
        return "yes" if code == 0 else text.strip()

    def alarms(self):
        last = {note[0]: note[1] for note in self.notes() if len(note) > 1}
        return {f"{name} {state}" for name, state in last.items() if state != "OK"}


if __name__ == "__main__":
    serve(Icinga())
