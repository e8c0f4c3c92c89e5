"""munin with the shipped plugin: munin-node runs it, munin-update stores, munin-limits judges; its judgement is read."""

import re

from manager import *

HOST = "127.0.0.1"
NODE = """
log_level 4
log_file {directory}/munin-node.log
pid_file {directory}/munin-node.pid
background 0
setsid 0
user root
group root
host 127.0.0.1
port {port}
allow ^127\\.0\\.0\\.1$
"""
PLUGIN = """
[snmp_*]
user root
env.port {port}
env.version 2
env.community public
env.timeout 2
env.retries 0
"""
MASTER = """
dbdir {directory}/db
htmldir {directory}/www
logdir {directory}/log
rundir {directory}/run
[{host}]
  address 127.0.0.1
  port {port}
"""


class Munin:
    expected = {
        "AgentStopped": ["health unknown"],
        "SnmpdStopped": ["health unknown"],
        "InstanceStopped": ["health critical", "instances critical"],
        "LogUnreadable": ["health warning", "sources warning"],
    }

    def start(self, processes):
        self.port = free_port()
        for name in ("plugins", "plugin-conf.d", "db", "www", "log", "run", "state"):
            (DIRECTORY / name).mkdir()
        # munin's programs refuse to be root.
        for name in ("db", "www", "log", "run"):
            shutil.chown(DIRECTORY / name, "munin", "munin")
        plugin = DIRECTORY / "plugins" / f"snmp_{HOST}_postfix"
        plugin.write_text(shipped("munin/snmp__postfix"))
        plugin.chmod(0o755)
        (DIRECTORY / "plugin-conf.d/snmp").write_text(PLUGIN.format(port=PORT))
        (DIRECTORY / "munin-node.conf").write_text(NODE.format(directory=DIRECTORY, port=self.port))
        (DIRECTORY / "munin.conf").write_text(MASTER.format(directory=DIRECTORY, port=self.port, host=HOST))
        # The node takes its plugins from where munin's defaults say, which no option changes.
        node = '$Munin::Common::Defaults::MUNIN_CONFDIR = shift; do "/usr/sbin/munin-node"; die $@ if $@; exit main()'
        command = ["perl", "-MMunin::Common::Defaults", "-e", node, str(DIRECTORY), "--config", str(DIRECTORY / "munin-node.conf")]
        processes.start("munin-node", command, env=os.environ | {"MUNIN_PLUGSTATE": str(DIRECTORY / "state")})

    def poll(self):
        """One run of munin-cron's two steps; what munin-limits saved."""
        for program in ("munin-update", "munin-limits"):
            must(["setpriv", "--reuid=munin", "--regid=munin", "--clear-groups", "/usr/share/munin/" + program, "--config", str(DIRECTORY / "munin.conf")], cwd=DIRECTORY, timeout=100)
        return (DIRECTORY / "db/limits").read_text()

    def ready(self):
        self.poll()
        names = sorted(path.name for path in (DIRECTORY / "db").rglob("*.rrd"))
        if not any("postfix_queues-deferred" in name for name in names):
            return f"only {names}"
        log = (DIRECTORY / "munin-node.log").read_text(errors="replace")
        assert "exited with status" not in log, log
        return "yes"

    def alarms(self):
        return {f"{field} {state}" for field, state in re.findall(r";(\w+);state (warning|critical|unknown)", self.poll())}


if __name__ == "__main__":
    serve(Munin())
