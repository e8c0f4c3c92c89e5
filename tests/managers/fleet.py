"""Measures what a poll costs: octets and packets by a relay that counts, CPU of snmpd, agent and exporter by /proc, and how many
hosts a single exporter polls in a minute. Hundreds of hosts are hundreds of loopback addresses of one snmpd.

CONFIG is the configuration of an agent of the rig; AGENT the binary. Prints Markdown rows for docs/fleet.md.
"""

import concurrent.futures
import re
import select
import threading
import urllib.request

from manager import *

HOSTS = int(os.environ.get("FLEET_HOSTS", "300"))
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """Seconds of CPU, children that ended included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(fields[n]) for n in (11, 12, 13, 14)) / TICK


class Relay(threading.Thread):
    """Between a manager and snmpd; counts datagrams and their octets with IP's and UDP's headers."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", port))
        self.port, self.peer, self.reset = self.front.getsockname()[1], None, None
        self.clear()
        self.start()

    def clear(self):
        self.packets, self.octets, self.largest = 0, 0, 0

    def run(self):
        while True:
            for ready in select.select([self.front, self.back], [], [])[0]:
                if ready is self.front:
                    data, self.peer = self.front.recvfrom(65535)
                    self.back.send(data)
                else:
                    data = self.back.recv(65535)
                    self.front.sendto(data, self.peer)
                    self.largest = max(self.largest, len(data) + 28)
                self.packets += 1
                self.octets += len(data) + 28


class Fleet:
    def __init__(self):
        self.processes = Processes()
        self.port, self.http = free_port(), free_port()

    def start(self):
        conf = DIRECTORY / "snmpd.conf"
        conf.write_text(f"agentAddress udp:0.0.0.0:{self.port}\nrocommunity public 127.0.0.0/8\nmaster agentx\nagentXSocket unix:{DIRECTORY}/agentx\nagentXPerms 0777 0777\n")
        self.snmpd = self.processes.start("snmpd", ["snmpd", "-f", "-C", "-c", str(conf), "-Lf", str(DIRECTORY / "snmpd.out"), "-p", str(DIRECTORY / "snmpd.pid")])
        config = re.sub(r"address: .*", f"address: unix:{DIRECTORY}/agentx", pathlib.Path(os.environ["CONFIG"]).read_text())
        state = DIRECTORY / "state"
        state.mkdir()
        config = re.sub(r"state_directory: .*", f"state_directory: {state}", config)
        (DIRECTORY / "agent.yaml").write_text(config)
        self.agent = self.processes.start("agent", [os.environ["AGENT"], "run", "--config", str(DIRECTORY / "agent.yaml")])
        self.exporter = self.processes.start("exporter", ["prometheus-snmp-exporter", f"--config.file={self.modules()}", f"--web.listen-address=127.0.0.1:{self.http}"])
        wait("health", 60, lambda: self.walk(f"{ROOT}.1.1.1").count("INTEGER: 1"))
        # The log's tables come a moment after that.
        wait("all tables", 60, lambda: self.walk(f"{ROOT}.1.7").count("STRING"))

    def modules(self):
        version = re.search(r"version 0\.(\d+)", run(["prometheus-snmp-exporter", "--version"])[1])
        return REPOSITORY / "integrations/prometheus" / ("snmp-0.22.yml" if int(version[1]) < 23 else "snmp.yml")

    def walk(self, oid, port=None):
        return must(["snmpbulkwalk", "-v2c", "-c", "public", "-Cr25", "-On", "-m", "", f"udp:127.0.0.1:{port or self.port}", oid])

    def scrape(self, module, target):
        url = f"http://127.0.0.1:{self.http}/snmp?module={module}&auth=public_v2&target={target}"
        return urllib.request.urlopen(url, timeout=30).read().decode()

    def measure(self, title, poll, times=30):
        """What one poll costs, and the rows of docs/fleet.md."""
        relay = Relay(self.port)
        wait("first poll", 60, lambda: poll(relay.port))
        relay.clear()
        answer = poll(relay.port)
        before = [cpu(p.pid) for p in (self.snmpd, self.agent, self.exporter)]
        begin = time.monotonic()
        for _ in range(times):
            poll(self.port)
        seconds = (time.monotonic() - begin) / times
        used = [(cpu(p.pid) - b) / times * 1000 for p, b in zip((self.snmpd, self.agent, self.exporter), before)]
        values = sum(1 for line in answer.splitlines() if line and line[0] != "#")
        print(f"| {title} | {values} | {relay.packets} | {relay.octets / 1024:.0f} | {relay.largest} | {used[0]:.1f} | {used[1]:.1f} | {used[2]:.1f} | {seconds * 1000:.0f} |", flush=True)

    def fleet(self, module, at_once):
        """All hosts once, as a Prometheus with so many scrapes at a time does."""
        addresses = [f"127.1.{n // 250}.{n % 250 + 1}:{self.port}" for n in range(HOSTS)]
        before = [cpu(p.pid) for p in (self.snmpd, self.agent, self.exporter)]
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            sizes = list(pool.map(lambda target: len(self.scrape(module, target)), addresses))
        seconds = time.monotonic() - begin
        used = [cpu(p.pid) - b for p, b in zip((self.snmpd, self.agent, self.exporter), before)]
        assert min(sizes) > 10000, min(sizes)
        memory = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.exporter.pid}/status").read_text())[1]) / 1024
        print(f"| {module}, {at_once} at once | {HOSTS} | {seconds:.1f} | {used[2]:.1f} | {used[0]:.1f} | {used[1]:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    fleet = Fleet()
    try:
        fleet.start()
        print("| poll | values | packets | KiB | largest packet | snmpd ms | agent ms | exporter ms | ms in all |\n|---|---|---|---|---|---|---|---|---|")
        fleet.measure("snmp_exporter, `postfix`", lambda port: fleet.scrape("postfix", f"127.0.0.1:{port}"))
        fleet.measure("snmp_exporter, `postfix_basic`", lambda port: fleet.scrape("postfix_basic", f"127.0.0.1:{port}"))
        fleet.measure("walk of the tree (Zabbix 7.0)", lambda port: fleet.walk(ROOT, port))
        fleet.measure("walk of postfixTotals (one GETBULK or two)", lambda port: fleet.walk(f"{ROOT}.1.2", port))
        fleet.measure("health alone (check_snmp)", lambda port: must(["snmpget", "-v2c", "-c", "public", "-On", "-m", "", f"udp:127.0.0.1:{port}", f"{ROOT}.1.1.1.1.0", f"{ROOT}.1.1.1.2.0"]))
        print("\n| fleet | hosts | s | exporter CPU s | snmpd CPU s | agent CPU s | exporter MiB |\n|---|---|---|---|---|---|---|")
        for module in ("postfix_basic", "postfix"):
            for at_once in (1, 16):
                fleet.fleet(module, at_once)
    except SystemExit as error:
        raise SystemExit(f"{error}\n{fleet.processes.logs()}") from error
    finally:
        fleet.processes.stop()
