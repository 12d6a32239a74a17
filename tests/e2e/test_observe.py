"""What a cluster shows of itself: pages, metrics, logs, sd_notify; and what strangers at those pages can do to it: nothing."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

from cluster import BIN, MAYFLY, wait_until, zombie
from conftest import make_cluster

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "lint"))
import metrics as table  # noqa: E402  the rows of docs/OPERATIONS.md

PROGRAMS = ("broker", "health-0", "node-0")


def place(c, name):
    return (c.state / "run" / f"{name}.http").read_text().strip()


def connect(c, name):
    host, port = place(c, name).rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20)


def get(c, name, path):
    """(status, body) of a page."""
    with connect(c, name) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def samples(c, name):
    """{'mayfly_nodes{state="ready"}': 2.0, ...}"""
    status, body = get(c, name, "/metrics")
    assert status == 200
    return {key: float(value) for key, value in (line.rsplit(" ", 1) for line in body.splitlines() if line[0] != "#")}


def guests(c):
    return sum(samples(c, f"node-{i}")['mayfly_guests{state="running"}'] for i in range(c.nodes))


def test_every_program_shows_its_pages(null3):
    c = null3
    shown = set()
    for name in PROGRAMS:
        assert get(c, name, "/healthz") == (200, "ok\n")
        assert get(c, name, "/readyz") == (200, "ready\n")
        body = get(c, name, "/metrics")[1]
        shown |= set(re.findall(r"^# TYPE (\S+)", body, re.M))
        done = subprocess.run([shutil.which("promtool") or "/usr/bin/promtool", "check", "metrics"], input=body, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout + done.stderr, (name, done)
    assert shown == table.told(), "what is shown and what docs/OPERATIONS.md has"
    for bad in ("/", "/metrics/", "/../etc/passwd", "/healthz%2f"):
        assert get(c, "broker", bad)[0] in (400, 404)


def test_the_numbers_are_true(null3):
    c = null3
    before = samples(c, "broker")
    c.ok("provision", "--group", "web", "--count", 6, "--image", "tiny", "--offering", "small", "--spread", "host", "--wait")
    wait_until(lambda: samples(c, "broker")['mayfly_instances{state="running"}'] == 6, 20, "six run in the metrics")
    now = samples(c, "broker")
    assert now['mayfly_requests_total{operation="provision"}'] == before['mayfly_requests_total{operation="provision"}'] + 1
    assert now['mayfly_events_total{type="instance.running"}'] == 6
    assert now['mayfly_placed_instances{policy="at-least"}'] == 6 and now["mayfly_groups"] == 1
    assert now["mayfly_commit_seconds_count"] > before["mayfly_commit_seconds_count"] and now["mayfly_store_bytes"] > 0
    assert guests(c) == 6
    assert sum(samples(c, f"node-{i}")['mayfly_creates_total{result="done"}'] for i in range(3)) == 6
    c.run("image", "add", "nothing-there", "--image-root", "/nonexistent", "--kernel", "k", "--initrd", "i")
    assert c.run("destroy", "no-such-group").code == 1
    wait_until(lambda: samples(c, "broker")['mayfly_errors_total{code="unknown"}'] >= 1, 20, "a refusal is counted")
    c.dev("kill", "node-2")
    c.wait_events("node.failed", 1, 0)
    wait_until(lambda: samples(c, "broker")['mayfly_nodes{state="failed"}'] == 1, 20, "a failed node in the metrics")
    wait_until(lambda: samples(c, "broker")['mayfly_instances{state="running"}'] == 6, 30, "healed in the metrics")
    assert samples(c, "broker")['mayfly_events_total{type="node.failed"}'] == 1
    assert samples(c, "health-0")['mayfly_verdicts_total{verdict="failed"}'] == 1
    assert samples(c, "health-0")['mayfly_ears{state="failed"}'] == 1


def test_ready_means_able(null3):
    c = null3
    c.dev("kill", "broker")
    for name in ("health-0", "node-0"):
        status, why = wait_until(lambda n=name: (r := get(c, n, "/readyz"))[0] == 503 and r, 20, f"{name} is not ready")
        assert "broker" in why, (name, why)
        assert get(c, name, "/healthz")[0] == 200
    c.dev("start", "broker")
    for name in PROGRAMS:
        wait_until(lambda n=name: get(c, n, "/readyz")[0] == 200, 30, f"{name} is ready again")


def test_a_full_store_is_not_ready(null3):
    c = null3
    pid, none = c.pid("broker"), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    c.run("image", "add", "later", "--image-root", "/tmp", "--kernel", "k", "--initrd", "i", "--timeout-ms", "300")
    node = threading.Thread(target=c.run, args=("cordon", "node-0", "--timeout-ms", "1000"))  # a row that cannot be written
    node.start()
    status, why = wait_until(lambda: (r := get(c, "broker", "/readyz"))[0] == 503 and r, 30, "the broker is not ready")
    assert "store" in why and samples(c, "broker")["mayfly_store_full"] == 1
    resource.prlimit(pid, resource.RLIMIT_FSIZE, none)
    wait_until(lambda: get(c, "broker", "/readyz")[0] == 200, 30, "ready again")
    node.join()
    assert c.pid("broker") == pid


@pytest.fixture
def json3(request, monkeypatch):
    monkeypatch.setenv("MAYFLY_LOG_FORMAT", "json")
    yield from make_cluster(request, "null", 3)


def log_lines(c):
    return [(log.name, json.loads(line)) for log in sorted((c.state / "log").glob("*.log")) for line in log.read_text().splitlines()]


def test_every_line_of_every_log_is_an_object(json3):
    c = json3
    c.ok("provision", "--group", "web", "--count", 6, "--image", "tiny", "--offering", "small", "--wait")
    c.dev("kill", "node-1")
    c.wait_events("node.failed", 1, 0)
    c.wait_running("web", 6)
    c.dev("kill", "node-0", "--agent")
    with connect(c, "broker") as s:
        s.sendall(b"\xff\x00\x1b[2J garbage\r\n\r\n")
    c.down()
    lines = log_lines(c)
    programs = {line["program"] for _, line in lines}
    assert programs == {"mayfly-broker", "mayfly-health", "mayfly-keeper", "mayfly-agent"}
    for log, line in lines:
        assert {"time", "level", "program", "msg"} <= line.keys() and all(isinstance(value, str) for value in line.values()), (log, line)
    assert any(line["msg"] == "verdict" and line["node"] == "node-1" for _, line in lines)


class Hostile:
    """Strangers at the pages of a cluster, until it is over: some say nothing, some a byte now and then, some nonsense, some ask and do not read."""

    def __init__(self, c, names, each):
        self.c, self.sockets, self.over = c, [], threading.Event()
        opening = (b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nX-Slow: ", b"\x16\x03\x01\x02" * 300, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
                   b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        for i in range(each):
            for name in names:
                s = connect(c, name)
                s.setblocking(False)
                self.sockets.append(s)
                self.say(s, opening[i % len(opening)])
        self.thread = threading.Thread(target=self.drip)
        self.thread.start()

    def say(self, s, text):
        try:
            s.send(text)
        except OSError:
            pass

    def drip(self):
        while not self.over.wait(0.05):
            for s in self.sockets:
                self.say(s, b"x")

    def end(self):
        self.over.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


def test_strangers_change_nothing(null3):
    c = null3
    names = ("broker", "health-0", "node-0", "node-1", "node-2")
    pids, since = {name: c.pid(name) for name in names}, c.newest()
    fds = {name: samples(c, name)["process_open_fds"] for name in names}
    hostile = Hostile(c, names, 200)  # 1000 connections
    try:
        for i in range(5):
            c.ok("provision", "--group", f"g{i}", "--count", 6, "--image", "tiny", "--offering", "small", "--wait", timeout=60)
            assert all(get(c, name, "/healthz")[0] == 200 for name in names)
        for name in names:
            assert samples(c, name)["process_open_fds"] <= fds[name] + 100, f"{name} holds on to strangers"
    finally:
        hostile.end()
    assert {name: c.pid(name) for name in names} == pids and not any(zombie(pid) for pid in pids.values())
    types = {event["type"] for event in c.events("--from", since)}
    assert not types & {"node.suspect", "node.failed", "monitor.lost", "monitor.suspended", "instance.lost"}, types


def test_healthz_tells_by_its_exit_code(null3, tmp_path):
    c = null3
    assert c.run("healthz", "--http", place(c, "broker")).code == 0
    assert c.run("healthz", "--ready", "--http", place(c, "node-0")).out == "ready\n"
    assert c.run("healthz", "--url", f"http://{place(c, 'health-0')}/readyz").code == 0
    assert "404" in c.run("healthz", "--url", f"http://{place(c, 'health-0')}/nothing").err
    for wrong in ((), ("--http", "x"), ("--http", "127.0.0.1:7110", "--url", "http://127.0.0.1:7110"), ("--url", "https://"), ("--http", "h:1:")):
        assert c.run("healthz", *wrong).code == 2, wrong
    at = place(c, "broker")
    c.dev("kill", "broker")
    refused = c.run("healthz", "--http", at)
    assert refused.code == 1 and "refused" in refused.err
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, says nothing
        done = c.run("healthz", "--http", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout-ms", 200)
        assert done.code == 1 and "does not answer" in done.err
    with socket.create_server(("127.0.0.1", 0)) as other:
        def answer():
            peer = other.accept()[0]
            peer.recv(1000)
            peer.sendall(b"\x00\xffnonsense")
            peer.close()
        thread = threading.Thread(target=answer)
        thread.start()
        done = c.run("healthz", "--http", f"127.0.0.1:{other.getsockname()[1]}")
        thread.join()
        assert done.code == 1 and "HTTP" in done.err


def test_healthz_tries_every_address_of_a_name(tmp_path):
    """As localhost is two addresses on most machines, and a program listens on one."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.2 twofold\n127.0.0.1 twofold\n")
    there = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]
    if (done := subprocess.run([*there, "true"], capture_output=True, text=True)).returncode:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    with socket.create_server(("127.0.0.2", 0)) as server:  # the resolver has the other one first
        def answer():
            peer = server.accept()[0]
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\nok\n")
            peer.close()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        done = subprocess.run([*there, MAYFLY, "healthz", "--http", f"twofold:{server.getsockname()[1]}"], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_a_taken_place_is_told(null3, tmp_path):
    c = null3
    args = (c.state / "run" / "health-0.cmd").read_text().split("\n")[:-1]
    args[args.index("--http") + 1] = place(c, "broker")
    del args[args.index("--pid-file"):args.index("--pid-file") + 2]
    done = subprocess.run(args, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "--http" in done.stderr and "in use" in done.stderr, done
    args[args.index("--http") + 1] = "everywhere"
    done = subprocess.run(args, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "none" in done.stderr, done
    done = subprocess.run([*args, "--log-format", "xml"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "neither logfmt nor json" in done.stderr, done


class Listener:
    """NOTIFY_SOCKET, and who said what: the kernel tells the sender's pid."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.said = []
        threading.Thread(target=self.take, daemon=True).start()  # a queue of ten is all that the kernel gives

    def take(self):
        while True:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            self.said.append((struct.unpack("3i", control[0][2])[0], text.decode().split("\n")[0]))

    def hear_out(self):
        """All that was said until now is in the list: the queue is in order, and this comes last."""
        word = f"until {len(self.said)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(word.encode(), self.socket.getsockname())
        wait_until(lambda: (os.getpid(), word) in self.said, 30, "the queue is read")
        self.said.remove((os.getpid(), word))

    def words(self, pid):
        return [word for sender, word in self.said if sender == pid]


@pytest.mark.parametrize("address", ["@mayfly-test-{pid}", "{tmp}/notify"])
def test_systemd_is_told(request, monkeypatch, tmp_path, address):
    listener = Listener(address.format(pid=os.getpid(), tmp=tmp_path))
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    for c in make_cluster(request, "null", 1):
        pids = {name: c.pid(name) for name in PROGRAMS}
        wait_until(lambda: all("READY=1" in listener.words(pid) and listener.words(pid).count("WATCHDOG=1") >= 5 for pid in pids.values()), 30, "all are ready, and beat")
        os.kill(pids["health-0"], signal.SIGSTOP)  # it hangs: no word comes, and systemd would end it
        wait_until(lambda: pathlib.Path(f"/proc/{pids['health-0']}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", 10, "stopped")
        listener.hear_out()
        beats = {name: len(listener.words(pid)) for name, pid in pids.items()}
        wait_until(lambda: all(len(listener.words(pids[name])) >= beats[name] + 5 for name in ("broker", "node-0")), 30, "the others go on")
        assert len(listener.words(pids["health-0"])) == beats["health-0"]
        os.kill(pids["health-0"], signal.SIGCONT)
        wait_until(lambda: len(listener.words(pids["health-0"])) > beats["health-0"], 30, "it goes on")
        for pid in pids.values():
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: all("STOPPING=1" in listener.words(pid) for pid in pids.values()), 30, "all say that they end")
        assert {pid for pid, _ in listener.said} == set(pids.values()), "nobody else speaks, no agent and no guest"
        assert all(listener.words(pid).count("READY=1") == 1 for pid in pids.values())


def test_ready_is_not_said_before_it_is_so(null3, monkeypatch, tmp_path):
    c = null3
    listener = Listener(str(tmp_path / "notify"))
    c.dev("kill", "broker")
    c.dev("kill", "health-0")
    args = (c.state / "run" / "health-0.cmd").read_text().split("\n")[:-1]
    env = {**os.environ, "NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "100000"}
    with subprocess.Popen(args, env=env, stderr=subprocess.DEVNULL) as monitor:
        try:
            wait_until(lambda: listener.words(monitor.pid).count("WATCHDOG=1") >= 10, 30, "it lives")
            assert "READY=1" not in listener.words(monitor.pid)
            c.dev("start", "broker")
            wait_until(lambda: "READY=1" in listener.words(monitor.pid), 30, "welcomed, it is ready")
        finally:
            monitor.terminate()
