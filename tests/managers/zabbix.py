"""Zabbix with PostgreSQL and its frontend's API: imports the template, and tells which problems it has.

Debian 12 has 6.0. ZABBIX_TREE is the root of a Debian with another one (see tests/managers/zabbix_tree.sh), which is then run
by chroot.
"""

import os
import pathlib
import re
import urllib.request

from manager import *

TREE = pathlib.Path(os.environ.get("ZABBIX_TREE") or "/")
HOST, TEMPLATE, NOTIFIED = "mx", "Postfix by SNMP", "Postfix: Notified of an alarm"
SERVER = """ListenIP=127.0.0.1
ListenPort={port}
DBHost=127.0.0.1
DBPort={database}
DBName=zabbix
DBUser=zabbix
LogFile={inside}/server-own.log
PidFile={inside}/server.pid
SocketDir={inside}
AllowRoot=1
StartPingers=0
StartDiscoverers=0
StartPollers=3
StartPollersUnreachable=2
CacheUpdateFrequency=1
UnreachableDelay=1
UnavailableDelay=2
UnreachablePeriod=4
Timeout=1
StartSNMPTrapper=1
SNMPTrapperFile={inside}/traps
"""
FRONTEND = """<?php
$DB = ['TYPE' => 'POSTGRESQL', 'SERVER' => '127.0.0.1', 'PORT' => '{database}', 'DATABASE' => 'zabbix', 'USER' => 'zabbix', 'PASSWORD' => '', 'SCHEMA' => '', 'ENCRYPTION' => false, 'KEY_FILE' => '', 'CERT_FILE' => '', 'CA_FILE' => '', 'VERIFY_HOST' => false, 'CIPHER_LIST' => '', 'VAULT' => '', 'VAULT_URL' => '', 'VAULT_PREFIX' => '', 'VAULT_DB_PATH' => '', 'VAULT_TOKEN' => '', 'VAULT_CERT_FILE' => '', 'VAULT_KEY_FILE' => '', 'DOUBLE_IEEE754' => true];
$ZBX_SERVER = '127.0.0.1'; $ZBX_SERVER_PORT = '{port}'; $ZBX_SERVER_NAME = 'test'; $IMAGE_FORMAT_DEFAULT = IMAGE_FORMAT_PNG;
"""
# Minutes of patience are right on a real host; here a state counts as soon as it was seen twice.
MACROS = {"{$POSTFIX.INTERVAL}": "2s", "{$POSTFIX.DISCOVERY}": "5s", "{$POSTFIX.SNMP.TIMEOUT}": "10s", "{$POSTFIX.NODATA}": "30s"}


class Zabbix:
    expected = {
        "AgentStopped": ["Postfix: The agent is missing"],
        "SnmpdStopped": ["nobody answers"],
        "InstanceStopped": ["Postfix: Critical", "Postfix [postfix-out]: Does not run"],
        "LogUnreadable": ["Postfix source [postfix-out log]: Cannot be read"],
    }
    # One fault is one alarm, not one for each of the daemons that went with it.
    forbidden = ["Postfix daemon", "Postfix alarm"]
    notified = False

    def start(self, processes):
        self.inside = "/" / pathlib.Path("srv/zabbix-test" if TREE != pathlib.Path("/") else DIRECTORY)
        self.outside = TREE / str(self.inside).lstrip("/")
        if TREE != pathlib.Path("/"):
            self.tree(processes)
        open_for_others(self.outside)
        self.database, self.web, self.port = free_port(), free_port(), free_port(20000 + os.getpid() % 5000, 32000)
        self.postgres(processes)
        values = {"inside": self.inside, "database": self.database, "port": self.port}
        (self.outside / "server.conf").write_text(SERVER.format(**values))
        (self.outside / "traps").write_text("")
        # The host's own frontend keeps its configuration: this is a copy with another.
        must(self.root(["cp", "-aL", "/usr/share/zabbix", f"{self.inside}/www"]))
        conf = FRONTEND
        for name in ("database", "port"):
            conf = conf.replace("{" + name + "}", str(values[name]))
        (self.outside / "zabbix.conf.php").write_text(conf)
        where = self.outside / "www/include/classes/core/CConfigFile.php"
        where.write_text(re.sub(r"(CONFIG_FILE_PATH = )'[^']*'", rf"\1'{self.inside}/zabbix.conf.php'", where.read_text()))
        processes.start("zabbix_server", self.root(["/usr/sbin/zabbix_server", "-f", "-c", f"{self.inside}/server.conf"]))
        php = ["php", "-d", "memory_limit=256M", "-d", "post_max_size=16M", "-d", "max_execution_time=300", "-d", "date.timezone=UTC", "-S", f"127.0.0.1:{self.web}", "-t", f"{self.inside}/www"]
        processes.start("frontend", self.root(php), env=os.environ | {"PHP_CLI_SERVER_WORKERS": "3"})
        self.token = None
        self.version = wait("frontend", 60, lambda: self("apiinfo.version", []))
        self.token = wait("login", 60, lambda: self("user.login", {"username": "Admin", "password": "zabbix"}))
        self.configure()

    def tree(self, processes):
        if self.outside.exists():
            shutil.rmtree(self.outside)
        self.outside.mkdir(parents=True)
        for kind, name in (("proc", "proc"), (None, "dev")):
            command = ["mount", "-t", "proc", "proc"] if kind else ["mount", "--bind", "/dev"]
            must([*command, str(TREE / name)])
            processes.at_end(lambda name=name: wait("unmounted tree", 20, lambda: run(["umount", str(TREE / name)])[0] == 0))

    def root(self, command):
        return command if TREE == pathlib.Path("/") else ["chroot", str(TREE), *command]

    def postgres(self, processes):
        programs = sorted(TREE.glob("usr/lib/postgresql/*/bin"))[-1]
        programs = "/" / programs.relative_to(TREE)
        data = self.outside / "pg"
        data.mkdir()
        must(self.root(["chown", "postgres", f"{self.inside}/pg"]))

        def postgres(command):
            return self.root(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command])

        must(postgres([f"{programs}/initdb", "-D", f"{self.inside}/pg", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]), cwd="/")
        settings = ["listen_addresses=127.0.0.1", f"port={self.database}", "unix_socket_directories=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60"]
        command = postgres([f"{programs}/postgres", "-D", f"{self.inside}/pg", *(part for s in settings for part in ("-c", s))])
        processes.start("postgres", command, cwd="/")
        psql = ["psql", "-q", "-h", "127.0.0.1", "-p", str(self.database)]
        wait("database", 30, lambda: run(self.root([*psql, "-U", "postgres", "-c", "select 1"]))[0] == 0)
        must(self.root([*psql, "-U", "postgres", "-c", "create role zabbix login", "-c", "create database zabbix owner zabbix"]))
        schema = "cd /usr/share/zabbix-server-pgsql && zcat schema.sql.gz images.sql.gz data.sql.gz | " + " ".join(psql) + " -U zabbix zabbix"
        must(self.root(["sh", "-c", schema]))

    def __call__(self, method, parameters):
        """One call of the JSON-RPC API."""
        headers = {"Content-Type": "application/json-rpc"}
        body = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
        if self.token and self.version.startswith("6."):
            body["auth"] = self.token
        elif self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}/api_jsonrpc.php", json.dumps(body).encode(), headers)
        answer = json.loads(urllib.request.urlopen(request, timeout=120).read())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']} {answer['error']['data']}")
        return answer["result"]

    def configure(self):
        new = not self.version.startswith("6.")
        kinds = ("templates", "items", "triggers", "graphs", "discoveryRules", "valueMaps", "templateDashboards")
        rules = {kind: {"createMissing": True, "updateExisting": True} for kind in kinds}
        rules |= {("template_groups" if new else "groups"): {"createMissing": True}}
        template = {"format": "yaml", "rules": rules, "source": shipped(f"zabbix/postfix_snmp_{'7.0' if new else '6.0'}.yaml")}
        # Twice: an update of what is there has to work too.
        for _ in range(2):
            assert self("configuration.import", template) is True
        template = self("template.get", {"filter": {"host": [TEMPLATE]}})[0]["templateid"]
        group = self("hostgroup.create", {"name": "test"})["groupids"][0]
        details = {"version": 2, "bulk": 1, "community": "public"} | ({"max_repetitions": 25} if new else {})
        interface = {"type": 2, "main": 1, "useip": 1, "ip": "127.0.0.1", "dns": "", "port": PORT, "details": details}
        macros = [{"macro": macro, "value": value} for macro, value in MACROS.items()]
        host = {"host": HOST, "groups": [{"groupid": group}], "templates": [{"templateid": template}], "interfaces": [interface], "macros": macros}
        self.host = self("host.create", host)["hostids"][0]

    def items(self):
        return self("item.get", {"hostids": self.host, "output": ["key_", "name", "lastclock", "lastvalue", "state", "error"]})

    def ready(self):
        items = [i for i in self.items() if not i["key_"].startswith(("snmptrap[", "postfix.walk"))]
        without = [i["key_"] for i in items if i["lastclock"] == "0"]
        bad = [(i["key_"], i["error"]) for i in items if i["state"] == "1"]
        names = [i["name"] for i in items]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, twice
        # The two counters need a second look, and what a discovery found the interval after it.
        if len(items) < 200 or without or bad:
            return f"{len(items)} items; without a value {len(without)} {without[:4]}; unsupported {len(bad)} {bad[:3]}"
        both = [any(f"[postfix{end} deferred]" in name for name in names) for end in ("", "-out")]
        assert all(both), "not the queues of both instances"
        if not self.notified:
            self.notify()
        return "yes"

    def trap(self, notification, alarm):
        """As zabbix_trap_receiver.pl writes what snmptrapd took."""
        text = f"2026-01-01T00:00:00+0000 ZBXTRAP 127.0.0.1\nVARBINDS:\n  .1.3.6.1.6.3.1.1.4.1.0 type=6 value=OID: {notification}\n  {alarm} type=4 value=STRING: \"down: postfix-out\"\n"
        with open(self.outside / "traps", "a") as file:
            file.write(text)

    def told(self):
        problems = self("problem.get", {"hostids": self.host, "selectTags": "extend"})
        return sorted(tag["value"] for p in problems if p["name"] == NOTIFIED for tag in p["tags"] if tag["tag"] == "alarm")

    def notify(self):
        """Two alarms are told, one by numbers and one by names; each ends with its own end."""
        numbers, row = f".{ROOT}.0.", f".{ROOT}.1.10.1.1.2."
        self.trap(numbers + "3", row + "31")
        self.trap("POSTFIX-MIB::postfixAlarmRaised", "POSTFIX-MIB::postfixAlarmName.4")
        wait("both notifications", 30, lambda: self.told() == ["31", "4"])
        self.trap(numbers + "4", row + "31")
        wait("the end of the first", 30, lambda: self.told() == ["4"])
        self.trap("POSTFIX-MIB::postfixAlarmCleared", "POSTFIX-MIB::postfixAlarmName.4")
        wait("the end of the second", 30, lambda: self.told() == [])
        self.notified = True

    def alarms(self):
        problems = self("problem.get", {"hostids": self.host, "suppressed": False})
        shown = self("trigger.get", {"triggerids": [p["objectid"] for p in problems], "output": ["description"], "expandDescription": True, "skipDependent": True, "only_true": True}) if problems else []
        # 6.0 asks a silent host for item after item before it calls it unavailable: there the missing values are what is noticed first.
        silent = ("Postfix: No SNMP data collection", "Postfix: No value for")
        return {"nobody answers" if t["description"].startswith(silent) else t["description"] for t in shown}


if __name__ == "__main__":
    serve(Zabbix())
