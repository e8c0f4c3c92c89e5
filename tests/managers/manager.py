"""What the scripts of this directory share: each starts one manager on loopback and answers tests/managers/script.rs.

The test gives SNMP_PORT, DIRECTORY (empty, gone afterwards) and REPOSITORY in the environment, and asks on standard input, one
line a question. `ready` is answered by "yes" or by what is still missing, `alarms` by a JSON list of what the manager complains
about at this moment. At the end of the input the manager is stopped, by the process ids that were started here.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

PORT = os.environ.get("SNMP_PORT", "")
DIRECTORY = pathlib.Path(os.environ.get("DIRECTORY", "/nonexistent"))
REPOSITORY = pathlib.Path(os.environ.get("REPOSITORY", pathlib.Path(__file__).resolve().parents[2]))
ROOT = "1.3.6.1.4.1.8072.9999.9999.25"


def shipped(name):
    return (REPOSITORY / "integrations" / name).read_text()


def free_port(low=None, high=None):
    """A port that nobody listens on; Zabbix takes none above 32767."""
    for number in range(low, high) if low else [0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise SystemExit("no free port")


def wait(what, seconds, ask):
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            answer = ask()
            if answer:
                return answer
        except Exception as error:
            last = error
        time.sleep(0.2)
    raise SystemExit(f"no {what} within {seconds} s: {last}")


class Processes:
    """What was started here, stopped in the opposite order."""

    def __init__(self):
        self.started, self.last = [], []

    def start(self, name, command, **more):
        log = open(DIRECTORY / f"{name}.log", "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **({"cwd": DIRECTORY} | more))
        self.started.append((name, process))
        return process

    def at_end(self, call):
        self.last.append(call)

    def complain(self):
        for name, process in self.started:
            if process.poll() is not None:
                log = (DIRECTORY / f"{name}.log").read_text(errors="replace")
                raise SystemExit(f"{name} ended with {process.returncode}:\n{log[-2000:]}")

    def logs(self):
        """The ends of what they wrote, for whoever has to find out why."""
        return "\n".join(f"--- {name}\n" + (DIRECTORY / f"{name}.log").read_text(errors="replace")[-1500:] for name, _ in self.started)

    def stop(self):
        for _, process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # Its children, which PHP leaves behind: the group is the session that was begun for it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for call in reversed(self.last):
            call()


def run(command, **more):
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **more)
    return ran.returncode, ran.stdout + ran.stderr


def must(command, **more):
    code, text = run(command, **more)
    if code != 0:
        raise SystemExit(f"{command}: {code}\n{text[-3000:]}")
    return text


def open_for_others(path):
    """Programs that give up root have to get to their files."""
    for directory in [path, *path.parents]:
        if str(directory).startswith("/tmp/") or directory == path:
            os.chmod(directory, 0o755)


def serve(manager):
    """`manager` has expected (names of complaints by fault), start(), ready() and alarms()."""
    processes = Processes()
    try:
        manager.start(processes)
        print(json.dumps({"expected": manager.expected, "forbidden": getattr(manager, "forbidden", [])}), flush=True)
        for line in sys.stdin:
            processes.complain()
            question = line.strip()
            answer = manager.ready() if question == "ready" else json.dumps(sorted(manager.alarms()))
            print(answer, flush=True)
    finally:
        processes.stop()


__all__ = [name for name in dir() if not name.startswith("_")] + ["shutil"]
