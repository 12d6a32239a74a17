"""A cluster under test and the command line as a user has it. Waits are for conditions, with a deadline, never for time."""
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time
import urllib.request

BIN = pathlib.Path(os.environ["MAYFLY_BIN"])
MAYFLY = str(BIN / "mayfly")


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def processes_with(text):
    """Living processes whose command line holds the text: [(pid, command line)]."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            line = cmdline(entry.name)
            if text in line and not zombie(entry.name):
                found.append((int(entry.name), line))
    return found


def open_files(pid):
    """What a process has open; nothing of one that has ended."""
    found = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except FileNotFoundError:
                pass  # closed meanwhile
    except OSError:
        pass
    return found


def instance_of(pid, line):
    """Whose QEMU it is: by its -uuid, or of one that began as a shell by the folder of its files; None while it is nobody's."""
    words = line.split()
    if "guest=mayfly-shell-" not in line:
        return words[words.index("-uuid") + 1]
    folders = [pathlib.Path(file).parent for file in open_files(pid)]
    return next((folder.name for folder in folders if folder.parent.name == "instances"), None)


def wait_until(condition, timeout, what):
    """Poll a condition; its last value when true, AssertionError at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        select.select([], [], [], 0.02)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"


class Cluster:
    def __init__(self, state, nodes, driver, up_args=(), monitors=1, racks=0, netns=False, settings=None):
        """settings: the broker's, as {"silence_ms": 1200}."""
        self.state, self.nodes, self.driver, self.monitors = pathlib.Path(state), nodes, driver, monitors
        self.up_args = [*up_args, "--monitors", monitors, *(["--racks", racks] if racks else []), *(["--netns"] if netns else [])]
        for key, value in (settings or {}).items():
            self.up_args += [f"--broker-arg=--{key.replace('_', '-')}", f"--broker-arg={value}"]
        self.env = dict(os.environ)

    def run(self, *args, timeout=120, stdin=None):
        done = subprocess.run([MAYFLY, *map(str, args)], env=self.env, capture_output=True, timeout=timeout, input=stdin)
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ok(self, *args, timeout=120):
        result = self.run(*args, timeout=timeout)
        assert result.code == 0, f"mayfly {' '.join(map(str, args))}: {result}"
        return result

    def json(self, *args):
        return json.loads(self.ok(*args, "-o", "json").out)

    def up(self):
        self.ok("dev", "up", "--state", self.state, "--nodes", self.nodes, "--driver", self.driver, *self.up_args, timeout=300)
        self.take_environment()

    def take_environment(self):
        """What makes the command line find the broker; known before `dev up` is over."""
        for line in self.ok("dev", "env", "--state", self.state).out.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value.strip("'\"")

    def down(self):
        self.run("dev", "down", "--state", self.state, timeout=120)

    def dev(self, *args, timeout=120):
        return self.ok("dev", *args, "--state", self.state, timeout=timeout)

    def pid(self, name):
        return int((self.state / "run" / f"{name}.pid").read_text())

    def print_logs(self):
        for log in sorted((self.state / "log").glob("*")):
            print(f"--- {log.name}\n" + log.read_text(errors="replace")[-4000:])

    def complaints(self):
        """What sanitizers and our own assertions wrote into the logs: a program that is restarted must not hide them."""
        words = ("Sanitizer", "runtime error:", "mayfly panic:")
        return [f"{log.name}: {line}" for log in sorted((self.state / "log").glob("*"))
                for line in log.read_text(errors="replace").splitlines() if any(word in line for word in words)]

    # -- reading
    def instances(self, group=None):
        return self.json("instances", *(["--group", group] if group else []))

    def running(self, group=None):
        return [i for i in self.instances(group) if i["state"] == "running"]

    def nodes_by_name(self):
        return {n["name"]: n for n in self.json("nodes")}

    def events(self, *args):
        return [json.loads(line) for line in self.ok("events", "-o", "json", *args).out.splitlines()]

    def newest(self):
        return self.json("status")["seq"]

    def wait_events(self, type_prefix, count, since, timeout=30):
        """The first `count` events of the type at or after seq `since`."""
        result = self.ok("events", "--follow", "--from", since, "--filter", type_prefix, "--count", count, "--timeout", timeout,
                         "-o", "json", timeout=timeout + 30)
        return [json.loads(line) for line in result.out.splitlines()]

    def wait_running(self, group, count, timeout=60):
        return wait_until(lambda: (r := self.running(group)) and len(r) == count and r, timeout, f"{count} of {group} running: see {self.state}")

    # -- what truly runs, asking neither broker nor libvirt
    def qemus(self, node=""):
        """{uuid: pid} of the QEMU processes of this cluster, or of one node."""
        found = {}
        for pid, line in processes_with(f"{self.state}/nodes/{node}"):
            words = line.split()
            if "-uuid" in words and "qemu-system" in words[0]:
                found[instance_of(pid, line)] = pid
        found.pop(None, None)
        return found

    def shells(self, node=""):
        """Pids of the QEMU processes that are made ahead and are nobody's yet."""
        return [pid for pid, line in processes_with(f"{self.state}/nodes/{node}")
                if "guest=mayfly-shell-" in line and instance_of(pid, line) is None]

    def idle_shells(self, node):
        """How many shells the agent of a node has ready, as it says itself; a process is there before its shell is."""
        try:
            address = (self.state / "run" / f"{node}.http").read_text().strip()
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
                return int(float(re.search(r"^mayfly_shells (\S+)", page.read().decode(), re.M).group(1)))
        except OSError:
            return -1

    def null_processes(self, node):
        return [line for _, line in processes_with(f"{self.state}/nodes/{node}") if "mayfly-null" in line]

    def null_guests(self, node):
        done = subprocess.run([str(BIN / "mayfly-null"), "--root", str(next((self.state / "nodes" / node).rglob("null.sock")).parent), "--list"],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return {line.split()[0] for line in done.stdout.splitlines() if line.strip()}


def check_log(events):
    """I6: no gap, no duplicate, every cause exists and is older; and I2 read off the log: one current generation a slot."""
    by_seq = {}
    for before, after in zip(events, events[1:]):
        assert after["seq"] == before["seq"] + 1, (before, after)
    for event in events:
        assert event["cause"] < event["seq"]
        if event["cause"] and events[0]["seq"] <= event["cause"]:
            assert event["cause"] in by_seq, event
        by_seq[event["seq"]] = event
    generations = {}
    replaced = {}
    for event in events:
        if event["type"] == "instance.created":
            data = event["data"]
            key = (data["group_id"], data["slot"])
            assert data["generation"] > generations.get(key, 0), f"generation not rising: {event}"
            generations[key] = data["generation"]
            if data.get("replaces"):
                assert data["replaces"] not in replaced, f"two replacements of one failure: {event}"
                replaced[data["replaces"]] = event["cause"]
        elif event["type"] == "instance.reinstated":
            replaced.pop(event["data"]["id"], None)  # the next failure is another one


def kill(pid, sig=signal.SIGKILL):
    os.kill(pid, sig)
