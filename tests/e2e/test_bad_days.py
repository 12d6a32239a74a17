"""What is missing, broken or doubled where a program starts: each says what, where and how to mend it, and ends or tries again as
docs/OPERATIONS.md says ("When a program does not start"). Nothing here needs a container; test_containers.py has what does."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from cluster import BIN, MAYFLY, processes_with, wait_until

NO_BROKER = "tcp://127.0.0.1:1"
NOBODY = 65534
NEVER_READY, CANNOT_RUN, MISUSE = None, 1, 2


class Program:
    """One of ours, started by hand; its words are read from a file."""

    def __init__(self, folder, *command, env=None, user=None, wrap=()):
        self.log = pathlib.Path(folder) / f"{len(list(pathlib.Path(folder).glob('*.said')))}.said"
        environment = dict(os.environ, **(env or {}))
        if user is not None:
            wrap = (*wrap, "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([*wrap, *map(str, command)], stdout=out, stderr=out, env=environment, start_new_session=True)

    def said(self):
        return self.log.read_text(errors="replace")

    def says(self, *words, timeout=30):
        try:
            wait_until(lambda: self.process.poll() is not None or not self.unsaid(words), timeout, "")
        except AssertionError:
            pass
        assert not self.unsaid(words), f"{self.unsaid(words)} not within {timeout} s in:\n{self.said()}"

    def unsaid(self, words):
        said = self.said()
        return [word for word in words if word not in said]

    def ends(self, code, *words, timeout=30):
        assert self.process.wait(timeout) == code, self.said()
        self.says(*words)

    def lives(self):
        assert self.process.poll() is None, self.said()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)


@pytest.fixture
def day():
    """A folder of keys, and a way to start programs that are ended with the test."""
    folder = pathlib.Path(subprocess.run(["mktemp", "-d", "/tmp/mf-XXXXXX"], capture_output=True, text=True, check=True).stdout.strip())
    folder.chmod(0o755)
    made = Day(folder)
    try:
        yield made
    finally:
        made.end()


class Day:
    def __init__(self, folder):
        self.folder, self.programs, self.mounts, self.keys = folder, [], [], folder / "keys"
        self.mayfly("key", "init", self.keys)
        for role, name in (("worker", "n0"), ("monitor", "h0"), ("operator", "admin")):
            self.mayfly("key", "create", "--role", role, name, "--keys", self.keys)

    def mayfly(self, *args):
        subprocess.run([MAYFLY, *map(str, args)], check=True, capture_output=True, timeout=60)

    def key(self, name):
        return self.keys / f"{name}.cert_secret"

    def start(self, program, *args, **how):
        self.programs.append(Program(self.folder, BIN / program, *args, **how))
        return self.programs[-1]

    def broker(self, *args, state=None, keys=None, **how):
        ports = {name: "tcp://127.0.0.1:*" for name in ("--client", "--worker", "--tail")}
        ports.update(zip(args[::2], args[1::2]))
        return self.start("mayfly-broker", "--state", state or self.folder / "broker", "--keys", keys or self.keys, "--http", "none",
                          *[word for pair in ports.items() for word in pair], **how)

    def health(self, *args, key=None, **how):
        return self.start("mayfly-health", "--broker", NO_BROKER, "--key", key or self.key("h0"), "--http", "none", *args, **how)

    def worker(self, *agent, keeper=(), key=None, state=None, driver="null", **how):
        return self.start("mayfly-keeper", *keeper, "--", "--broker", NO_BROKER, "--key", key or self.key("n0"), "--state",
                          state or self.folder / "n0", "--driver", driver, "--http", "none", *agent, **how)

    def read_only(self):
        """A directory on a file system that is mounted read-only, as a container's root is."""
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        folder = self.folder / "read-only"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "mayfly-test", folder], check=True)
        self.mounts.append(folder)
        return folder

    def taken(self):
        """A port that somebody has, for TCP and UDP alike."""
        tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(tcp.getsockname())
        self.sockets = (tcp, udp)
        return f"127.0.0.1:{tcp.getsockname()[1]}"

    def end(self):
        for program in self.programs:
            program.end()
        for pid, _ in processes_with(f"--root {self.folder}/"):  # the stand-ins of simulated guests outlive their workers, as guests do
            os.kill(pid, signal.SIGKILL)
        for mount in self.mounts:
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("another user's files need root")


# -- keys

def test_no_keys(day):
    day.broker(keys=day.folder / "nowhere").ends(CANNOT_RUN, "nowhere/broker.cert_secret: no such file", "mayfly key init")
    day.health(key=day.folder / "no.key").ends(CANNOT_RUN, "no.key: no such file", "mayfly key create")
    day.worker(key=day.folder / "no.key").ends(MISUSE, "no.key: no such file", "mayfly key create", "giving up")


def test_key_of_another_user(day):
    needs_root()
    day.key("n0").chmod(0o600)
    (day.folder / "n0").mkdir()
    os.chown(day.folder / "n0", NOBODY, NOBODY)
    day.broker(user=NOBODY, state=day.folder / "n0").ends(CANNOT_RUN, f"runs as user {NOBODY}", f"chown {NOBODY}")
    day.health(user=NOBODY).ends(CANNOT_RUN, "h0.cert_secret", f"chown {NOBODY}")
    day.worker(user=NOBODY).ends(MISUSE, "n0.cert_secret", f"chown {NOBODY}")


def test_key_that_others_may_read(day):
    for name in ("n0", "h0", "broker"):
        day.key(name).chmod(0o644)
    day.broker().ends(CANNOT_RUN, "lets others read a secret", "chmod 600")
    day.health().ends(CANNOT_RUN, "lets others read a secret", "chmod 600")
    day.worker().ends(MISUSE, "lets others read a secret", "chmod 600")


def test_key_of_another_role(day):
    day.health(key=day.key("n0")).ends(CANNOT_RUN, "mayfly key create --role monitor")
    day.worker(key=day.key("h0")).ends(MISUSE, "mayfly key create --role worker")
    day.worker("--node", "n1").ends(MISUSE, "is node n0's, but this is told to be node n1")


# -- files

def test_state_that_cannot_be_written(day):
    folder = day.read_only()
    for state in (folder, folder / "below"):
        day.broker(state=state).ends(CANNOT_RUN, "state directory", "Read-only file system", "volume")
        day.worker(state=state).ends(MISUSE, "state directory", "Read-only file system", "volume")
    day.worker(keeper=("--pid-file", folder / "pid")).ends(CANNOT_RUN, "pid file", "Read-only file system", "--pid-file")
    day.health("--pid-file", folder / "pid").ends(CANNOT_RUN, "Read-only file system", "--pid-file")


def test_state_of_another_user(day):
    needs_root()
    for name in ("n0", "broker"):
        os.chown(day.key(name), NOBODY, NOBODY)
    (day.folder / "mine").mkdir(mode=0o700)
    day.broker(state=day.folder / "mine", user=NOBODY).ends(CANNOT_RUN, "state directory", f"chown {NOBODY}")
    day.worker(state=day.folder / "mine", user=NOBODY).ends(MISUSE, "state directory", f"chown {NOBODY}")


def test_two_brokers_on_one_store(day):
    first = day.broker()
    first.says("msg=\"ready\"")
    day.broker().ends(CANNOT_RUN, "in use by another broker", str(first.process.pid), "--state")
    first.lives()


# -- ports

def test_ports_that_are_taken(day):
    address = day.taken()
    for setting in ("--client", "--worker", "--tail"):
        day.broker(setting, f"tcp://{address}").ends(CANNOT_RUN, address, "another program has this port")
    day.health("--pulse-bind", address).ends(CANNOT_RUN, address, "another program has this port", "--pulse-bind")
    day.worker(keeper=("--probe-bind", address)).ends(CANNOT_RUN, address, "another program has this port", "--probe-bind")


# -- hypervisors

def test_libvirt_that_is_not_there(day):
    """It may come yet: told, and tried again."""
    worker = day.worker("--uri", f"qemu:///system?socket={day.folder}/libvirt-sock", driver="libvirt")
    worker.says("libvirt-sock", "No such file", "is libvirtd running", "/run/libvirt", "starting another soon")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(day.folder / "libvirt-sock"))  # nobody listens: as a socket's file that outlived its daemon
        worker.says("Connection refused", "nobody serves it", timeout=60)
        worker.lives()


def test_libvirt_socket_of_another_user(day):
    needs_root()
    os.chown(day.key("n0"), NOBODY, NOBODY)
    (day.folder / "n0").mkdir()
    os.chown(day.folder / "n0", NOBODY, NOBODY)
    with socket.socket(socket.AF_UNIX) as guarded:
        guarded.bind(str(day.folder / "libvirt-sock"))
        guarded.listen()
        (day.folder / "libvirt-sock").chmod(0o660)
        worker = day.worker("--uri", f"qemu:///system?socket={day.folder}/libvirt-sock", driver="libvirt", user=NOBODY)
        worker.says("libvirt-sock", "Permission denied", "its owner and its group")
        worker.lives()


def without_kvm(day):
    """Command words that run another command where /dev has no kvm."""
    dev = day.folder / "dev"
    dev.mkdir()
    names = " ".join(n for n in ("null", "zero", "full", "random", "urandom", "tty"))
    return ("unshare", "--mount", "sh", "-ec", f'mount -t tmpfs dev {dev}; cd {dev}; for n in {names}; do touch $n; mount --bind /dev/$n $n; done; '
            f'mount --move {dev} /dev; exec "$@"', "sh")


def test_kvm_that_is_not_there(day):
    needs_root()
    worker = day.worker("--domain-type", "kvm", driver="libvirt", wrap=without_kvm(day))
    worker.says("domain type kvm, but /dev/kvm: No such file", "--device /dev/kvm", "starting another soon", timeout=60)
    worker.lives()


# -- identity

@pytest.fixture
def city(null1):
    c = null1
    c.ok("provision", "--group", "web", "--count", 2, "--image", "tiny", "--offering", "small", "--wait")
    c.before = {r["id"] for r in c.running("web")}
    yield c
    assert {r["id"] for r in c.running("web")} == c.before, "what ran was harmed"


def second(city, day, *agent, **how):
    return day.start("mayfly-keeper", "--", "--broker", worker_endpoint(city), "--key", city.state / "keys" / "node-0.cert_secret", "--state",
                     day.folder / "twin", "--driver", "null", "--http", "none", *agent, **how)


def worker_endpoint(city):
    words = (city.state / "run" / "node-0.cmd").read_text().splitlines()
    return words[words.index("--broker") + 1]


def test_another_machine_under_the_same_name(city, day):
    """The second is told, keeps asking, and is let in by an operator's word alone; the first notices nothing."""
    epoch = city.nodes_by_name()["node-0"]["epoch"]
    twin = second(city, day, "--machine-id", "twin")
    twin.says("is known as another machine", "a name and a key of its own", "mayfly node forget node-0")
    twin.lives()
    (refused,) = city.wait_events("node.refused", 1, 1)
    assert "another machine" in refused["data"]["reason"]
    assert city.nodes_by_name()["node-0"]["epoch"] == epoch


def test_a_second_worker_on_the_same_machine(city, day):
    """The newer start has the name; the older one is told which of the two to stop."""
    words = (city.state / "run" / "node-0.cmd").read_text().splitlines()
    root = city.state / "nodes" / "node-0" / "null"  # the same hypervisor: a worker that was started twice
    epoch = city.nodes_by_name()["node-0"]["epoch"]
    twin = day.start("mayfly-keeper", *[w for w in words[1:words.index("--")] if w not in ("--pid-file", str(city.state / "run" / "node-0.pid"))],
                     "--", *words[words.index("--") + 1:])
    assert root.is_dir()
    log = city.state / "log" / "node-0.log"
    wait_until(lambda: "started later and is connected; stop one of them" in log.read_text(), 30, "the older one is told")
    wait_until(lambda: city.nodes_by_name()["node-0"]["epoch"] > epoch, 30, "the newer one is in")
    twin.end()
    wait_until(lambda: city.nodes_by_name()["node-0"]["state"] == "ready" and len(city.running("web")) == 2, 60, "the older one is taken again")
    assert city.events("--filter", "node.failed") == []


def test_a_clock_far_off(city, day):
    """A worker's and a monitor's wall clock a year ahead: said, with the remedy, and nothing else comes of it."""
    (day.folder / "skew").mkdir()
    (day.folder / "nodes").mkdir()
    (day.folder / "skew" / "n9").write_text(f"{365 * 86400 * 1000:<32}")
    env = {"LD_PRELOAD": str(BIN.parent / "tests" / "mayfly-skew.so"), "MAYFLY_SKEW_DIR": str(day.folder / "skew"),
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    keys = day.folder / "nodes" / "n9"  # the path tells the preloaded library which clock is to jump
    keys.mkdir()
    for role, name in (("worker", "n9"), ("monitor", "h9")):
        city.ok("key", "create", "--role", role, name, "--keys", city.state / "keys", "--out", keys / f"{name}.cert_secret")
    worker = day.start("mayfly-keeper", "--", "--broker", worker_endpoint(city), "--key", keys / "n9.cert_secret", "--state", keys / "state",
                       "--driver", "null", "--http", "none", env=env)
    monitor = day.start("mayfly-health", "--broker", city.env["MAYFLY_BROKER"], "--key", keys / "h9.cert_secret", "--pulse-bind", "127.0.0.1:0",
                        "--http", "none", env=env)
    for program in (worker, monitor):
        program.says("clock and the broker's are far apart", "NTP", "ahead_ms=3153")
    wait_until(lambda: city.nodes_by_name().get("n9", {}).get("state") == "ready", 30, "n9 is used all the same")
    city.ok("scale", "web", 6, "--wait")
    assert {r["node"] for r in city.running("web")} == {"node-0", "n9"}
    assert city.events("--filter", "node.failed") == []
    city.ok("scale", "web", 2, "--wait")
    city.before = {r["id"] for r in city.running("web")}
