"""Real cuts between real processes: broker, monitors and nodes each in a network namespace of its own; and an outside checker."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import netns
from cluster import check_log, kill, processes_with, wait_until
from outside import Outside
from proxy import Proxy

WEB = ("provision", "--group", "web", "--image", "tiny", "--offering", "small", "--label", "beat=on")
NOT_LOCAL = "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(float(sys.argv[3])); "
SEND = NOT_LOCAL + "[s.sendto(b'%d' % i, (sys.argv[1], int(sys.argv[2]))) for i in range(int(sys.argv[4]))]"
RECEIVE = NOT_LOCAL + """
s.bind((sys.argv[1], int(sys.argv[2]))); print('bound', flush=True); n = 0
try:
    while n < int(sys.argv[4]): s.recv(99); n += 1
except TimeoutError: pass
print(n)"""


def arrives(net, a, b, count=1, timeout=0.5):
    """How many of so many datagrams from a reach b."""
    words = [net.address(b), "9", str(timeout), str(count)]
    receiver = subprocess.Popen(["ip", "netns", "exec", net.namespace(b), sys.executable, "-c", RECEIVE, *words], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout.readline() == "bound\n"
    net.run(a, sys.executable, "-c", SEND, *words)
    return int(receiver.communicate(timeout=30)[0])


def ready(c, name, timeout=40):
    wait_until(lambda: c.nodes_by_name()[name]["state"] == "ready", timeout, f"{name} ready")


def kinds(c, since, *types):
    return [e for e in c.events("--from", since) if e["type"] in types]


def test_cuts_are_what_they_say(net4):
    c, net = net4
    assert arrives(net, "node-0", "node-1") == 1 == arrives(net, "node-1", "node-0")
    net.cut("node-0", "node-1", oneway=True)
    assert (arrives(net, "node-0", "node-1"), arrives(net, "node-1", "node-0")) == (0, 1)
    net.cut("node-0", "node-1")
    assert (arrives(net, "node-0", "node-1"), arrives(net, "node-1", "node-0")) == (0, 0)
    assert arrives(net, "node-2", "node-1") == 1
    net.heal("node-1", "node-0")
    assert arrives(net, "node-0", "node-1") == 1 == arrives(net, "node-1", "node-0")
    net.lose("node-3", 20)
    came = arrives(net, "node-0", "node-3", count=200)
    assert 110 < came < 195, f"{came} of 200 at 20 % loss"
    net.lose("node-3", 0)
    assert arrives(net, "node-0", "node-3", count=50) == 50
    net.link("node-2", up=False)
    net.link("node-2", up=True)
    wait_until(lambda: arrives(net, "node-0", "node-2") == 1, 10, "the link is up again")


def test_partition_and_heal(net4):
    c, net = net4
    c.ok(*WEB, "--count", 8, "--spread", "host", "--wait")
    outside, since = Outside(c), c.newest() + 1
    net.isolate("node-1")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["subject"] == "node/node-1"
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-1"]) == 8, 30, "eight on the others")
    assert len(c.null_guests("node-1")) == 2, "what is cut off goes on: at-least"
    net.heal_all()
    ready(c, "node-1")
    wait_until(lambda: len(c.instances("web")) == 8, 30, "what was replaced is gone")
    assert c.null_guests("node-1") == set()
    verdict = outside.must_hold()
    assert verdict["doubled_ms"] > 0, "the replaced ran on until their node heard of it: the checker must have seen that"
    check_log(c.events())


def test_a_link_that_is_down(net4):
    c, net = net4
    c.ok(*WEB, "--count", 4, "--spread", "host", "--wait")
    outside, since = Outside(c), c.newest() + 1
    net.link("node-2", up=False)
    c.wait_events("node.failed", 1, since)
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-2"]) == 4, 30, "four on the others")
    net.link("node-2", up=True)
    ready(c, "node-2", 60)
    wait_until(lambda: len(c.instances("web")) == 4, 30, "what was replaced is gone")
    outside.must_hold()


def test_a_fifth_of_the_datagrams_lost(net4):
    """Pulses are datagrams: a fifth lost is no death, and no doubt that lasts."""
    c, net = net4
    c.ok(*WEB, "--count", 4, "--wait")
    since = c.newest() + 1
    for name in ["health-0", *net.nodes]:
        net.lose(name, 20)
    outside = Outside(c)
    seconds = float(os.environ.get("MAYFLY_LOSSY_SECONDS", "10"))
    with pytest.raises(AssertionError):
        wait_until(lambda: kinds(c, since, "node.failed"), seconds, "a false verdict")
    outside.must_hold()


def test_the_monitor_is_deaf(net4):
    """All pulses lost on their way, every agent heard by the broker: nobody dies of a deaf monitor."""
    c, net = net4
    c.ok(*WEB, "--count", 4, "--wait")
    before, since = {r["id"] for r in c.running("web")}, c.newest() + 1
    for node in net.nodes:
        net.cut(node, "health-0")
    with pytest.raises(AssertionError):
        wait_until(lambda: kinds(c, since, "node.failed", "instance.lost"), 6, "a verdict of a deaf monitor")
    net.heal_all()
    wait_until(lambda: {n["state"] for n in c.json("nodes")} == {"ready"}, 30, "all ready")
    assert {r["id"] for r in c.running("web")} == before


def test_the_broker_is_cut_off(net4):
    """However long it cannot be reached, it ends nothing; and when it is back every node gets its full grace."""
    c, net = net4
    c.ok(*WEB, "--count", 8, "--wait")
    before, outside = {r["id"] for r in c.running("web")}, Outside(c)
    log = c.state / "log" / "broker.log"
    net.isolate("broker")
    wait_until(lambda: log.read_text().count("says nothing any more") >= len(net.nodes), 60, "the broker gave up every connection")
    outside.await_watched(3000)  # and for much longer than any silence that is judged
    net.heal_all()
    wait_until(lambda: all(n["state"] == "ready" and n["connected"] for n in c.json("nodes")), 60, "all back")
    rows = wait_until(lambda: (r := c.running("web")) and len(r) == 8 and r, 30, "eight run")
    assert {r["id"] for r in rows} == before, "nothing was replaced"
    outside.must_hold()


def test_one_monitor_of_three_is_cut_off(net4x3):
    """Its word alone is no majority."""
    c, net = net4x3
    c.ok(*WEB, "--count", 4, "--wait")
    since = c.newest() + 1
    for node in net.nodes:
        net.cut(node, "health-1")
    with pytest.raises(AssertionError):
        wait_until(lambda: kinds(c, since, "node.failed"), 5, "a verdict by one of three")
    c.dev("kill", "node-3")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["subject"] == "node/node-3", "two of three are enough"
    net.heal_all()


def qemu_partition(c, net, policy):
    c.ok(*WEB, "--count", 3, "--spread", "host", "--policy", policy, "--wait", timeout=300)
    wait_until(lambda: all("mayfly: beat" in c.run("logs", f"web/{i}").out for i in range(3)), 60, "all three beat")
    outside, since = Outside(c), c.newest() + 1
    net.isolate("node-1")
    c.wait_events("node.failed", 1, since)
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-1"]) == 3, 60, "three on the others")
    net.heal_all()
    ready(c, "node-1", 60)
    wait_until(lambda: set(c.qemus()) == {r["id"] for r in c.running("web")}, 60, "only what the broker knows runs")
    check_log(c.events())
    return outside.must_hold()


def test_partition_of_qemu(qemu_net3):
    verdict = qemu_partition(*qemu_net3, "at-least")
    assert verdict["beating"] >= 3 and verdict["doubled_ms"] > 0


def test_partition_of_qemu_at_most(qemu_net3):
    verdict = qemu_partition(*qemu_net3, "at-most")
    assert verdict["beating"] >= 3 and verdict["overlaps"] == 0


def test_pause_of_a_whole_host_at_most(qemu_net3):
    """Keeper, agent and guests stand still beyond the lease and go on, guests first: the keeper ends them at once (I3: up to 50 ms)."""
    c, net = qemu_net3
    c.ok(*WEB, "--count", 3, "--spread", "host", "--policy", "at-most", "--wait", timeout=300)
    outside, since = Outside(c, allow_ms=50), c.newest() + 1
    c.dev("freeze", "node-1")
    stopped = sorted((pid for pid, _ in processes_with(f"{c.state}/nodes/node-1")), reverse=True)
    assert len(stopped) == 3 and stopped[-1] == c.pid("node-1"), "guest, agent, keeper"
    c.wait_events("node.failed", 1, since)
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-1"]) == 3, 60, "three on the others")
    for pid in stopped:  # at once, as a host goes on; the guests have the start
        os.kill(pid, signal.SIGCONT)
    ready(c, "node-1", 60)
    wait_until(lambda: set(c.qemus()) == {r["id"] for r in c.running("web")}, 60, "only what the broker knows runs")
    verdict = outside.must_hold()
    assert verdict["seen"] == 4, verdict


def test_an_agent_that_hangs_does_not_keep_its_guests_beyond_the_lease(qemu_net3):
    """Cut off, and its agent stopped as well: the keeper alone fences."""
    c, net = qemu_net3
    c.ok(*WEB, "--count", 3, "--spread", "host", "--policy", "at-most", "--wait", timeout=300)
    outside, since = Outside(c), c.newest() + 1
    there = {r["id"] for r in c.running("web") if r["node"] == "node-1"}
    agent = next(pid for pid, line in processes_with(f"{c.state}/nodes/node-1") if line.split()[0].endswith("mayfly-agent"))
    net.isolate("node-1")
    kill(agent, signal.SIGSTOP)
    wait_until(lambda: not there & set(c.qemus("node-1")), 20, "fenced")
    c.wait_events("node.failed", 1, since)
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-1"]) == 3, 60, "three on the others")
    kill(agent, signal.SIGCONT)
    net.heal_all()
    ready(c, "node-1", 60)
    outside.must_hold()


# -- the checker itself: it must be able to fail

FAKE = "import ctypes,sys\nctypes.CDLL(None).prctl(15,b'CPU 0/TCG',0,0,0)\nwhile True: pass"


def fake_guest(state, node, uuid):
    """Looks like a QEMU whose virtual processor is busy."""
    return subprocess.Popen([sys.executable, "-c", FAKE, "-uuid", uuid, f"{state}/nodes/{node}/disk"])


def story(*rows):
    return [{"seq": i + 1, "cause": 0, "time_ms": int(at * 1000), "type": kind, "subject": subject, "data": data}
            for i, (at, kind, subject, data) in enumerate(rows)]


@pytest.fixture
def fakes(tmp_path):
    """(judge, start, ids): start(node, id) makes a fake guest; judge(rows) ends the watch."""
    class Bare:
        state = tmp_path
    (tmp_path / "nodes").mkdir()
    processes, outside = {}, Outside(Bare, settle_ms=0, told_ms=500)

    def start(node, uuid):
        processes[uuid] = fake_guest(tmp_path, node, uuid)
        path = f"/proc/{processes[uuid].pid}/task/{processes[uuid].pid}/schedstat"
        wait_until(lambda: int(open(path).read().split()[0]) > 60_000_000, 20, "it runs")
        outside.await_sweeps()
        return processes[uuid]
    yield outside, start
    for process in processes.values():
        process.kill()
        process.wait()
    outside.stop()


A, B = "01a20000-0000-7000-8000-00000000000a", "01a20000-0000-7000-8000-00000000000b"
GROUP = "01a20000-0000-7000-8000-0000000000ff"


def born(at, uuid, generation, node, policy="at-most", **more):
    name = f"default/web/0#{generation}"
    return [(at, "instance.created", name, {"id": uuid, "group_id": GROUP, "slot": 0, "generation": generation, **more}),
            (at, "instance.placed", name, {"id": uuid, "node": node, "epoch": 1}),
            (at, "instance.running", name, {"id": uuid, "node": node, "epoch": 1})]


def made(at, policy):
    return [(at, "group.created", "default/web", {"group_id": GROUP, "policy": policy})]


def ended(at, kind, uuid, generation, node):
    return [(at, kind, f"default/web/0#{generation}", {"id": uuid, "node": node, "epoch": 1})]


@pytest.mark.parametrize("policy,overlaps", [("at-most", 1), ("at-least", 0)])
def test_checker_sees_an_overlap(fakes, policy, overlaps):
    outside, start = fakes
    t = time.time()
    start("node-0", A)
    start("node-1", B)
    verdict = outside.judge(story(*made(t, policy), *born(t, A, 1, "node-0"), *ended(t + .01, "instance.lost", A, 1, "node-0"),
                                  *born(t + .01, B, 2, "node-1", replaces=A)))
    assert verdict["overlaps"] == verdict["I3"] == overlaps, verdict
    assert overlaps or verdict["doubled_ms"] > 0, verdict
    assert outside.process.returncode == overlaps


def test_checker_lets_a_stopped_one_be(fakes):
    outside, start = fakes
    t = time.time()
    kill(start("node-0", A).pid, 19)
    wait_until(lambda: open(f"/proc/{processes_of(A)}/stat").read().rsplit(")", 1)[1].split()[0] == "T", 10, "stopped")
    outside.await_sweeps()
    start("node-1", B)
    verdict = outside.judge(story(*made(t, "at-most"), *born(t, A, 1, "node-0"), *ended(t + .01, "instance.lost", A, 1, "node-0"),
                                  *born(t + .01, B, 2, "node-1", replaces=A)))
    assert verdict["I3"] == 0 and verdict["seen"] == 2, json.dumps(verdict)


def processes_of(uuid):
    return processes_with(uuid)[0][0]


def test_checker_sees_the_dead_run_and_the_unknown(fakes):
    outside, start = fakes
    t = time.time()
    start("node-0", A)
    start("node-0", B)
    outside.await_watched(600)  # longer than told_ms
    verdict = outside.judge(story(*made(t, "at-most"), *born(t, A, 1, "node-0"), *ended(t, "instance.gone", A, 1, "node-0")))
    assert (verdict["I5"], verdict["I7"]) == (1, 1), verdict


def test_checker_sees_what_is_missing_and_what_is_replaced_twice(fakes):
    outside, start = fakes
    t = time.time()
    start("node-1", B)
    c = A[:-1] + "c"
    verdict = outside.judge(story(*made(t, "at-least"), *born(t, A, 1, "node-0"), *ended(t, "instance.lost", A, 1, "node-0"),
                                  *born(t, B, 2, "node-1", replaces=A), *ended(t, "instance.died", B, 2, "node-1"),
                                  *born(t, c, 3, "node-1", replaces=A)))
    assert verdict["I2"] == 1 and verdict["I7"] == 1, verdict


# -- links that are slow, that stall, that break in the middle of a message


@pytest.fixture
def proxied(null3):
    """Three null nodes; node-1 and health-0 reach the broker through a proxy each."""
    c, proxies = null3, {}
    for name, endpoint in (("node-1", "WORKER"), ("health-0", "CLIENT")):
        target = dict(line.partition("=")[::2] for line in (c.state / "dev.conf").read_text().splitlines())[endpoint]
        proxies[name] = Proxy("127.0.0.1", target, delay=0.05)
        command = c.state / "run" / f"{name}.cmd"
        command.write_text(command.read_text().replace(target, proxies[name].endpoint))
        c.dev("kill", name)
        c.dev("start", name)
    wait_until(lambda: all(n["state"] == "ready" for n in c.json("nodes")), 30, "all ready")
    yield c, proxies
    for proxy in proxies.values():
        proxy.stop()


def test_slow_links_and_resets(proxied):
    c, proxies = proxied
    outside, since = Outside(c), c.newest() + 1
    c.ok(*WEB, "--count", 60, "--spread", "host")
    for _ in range(10):
        passed = proxies["node-1"].passed
        wait_until(lambda: proxies["node-1"].passed > passed, 30, "the link carries something again")
        proxies["node-1"].reset_all()
    c.wait_running("web", 60)
    guests = [g for i in range(3) for g in c.null_guests(f"node-{i}")]
    assert sorted(guests) == sorted(r["id"] for r in c.running("web")), "each once, and nothing else"
    assert proxies["node-1"].passed > 10000 and not kinds(c, since, "node.failed")
    outside.must_hold()


def test_a_link_that_stalls_while_pulses_are_heard(proxied):
    """The connection stays open and says nothing; the keeper's pulses are heard: nobody dies, and all goes on when it flows again."""
    c, proxies = proxied
    c.ok(*WEB, "--count", 9, "--spread", "host", "--wait")
    before, since = {r["id"] for r in c.running("web")}, c.newest() + 1
    proxies["node-1"].stall()
    c.ok("provision", "--group", "db", "--count", 30, "--image", "tiny", "--offering", "small", "--spread", "host")
    with pytest.raises(AssertionError):
        wait_until(lambda: kinds(c, since, "node.failed"), 4, "a verdict on a stalled link")
    proxies["node-1"].stall(False)
    c.wait_running("db", 30)
    assert {r["id"] for r in c.running("web")} == before


def test_the_monitors_link_stalls(proxied):
    c, proxies = proxied
    since = c.newest() + 1
    proxies["health-0"].stall()
    c.wait_events("monitor.lost", 1, since)
    assert c.run("status").code == 1
    proxies["health-0"].stall(False)
    wait_until(lambda: c.run("status").code == 0, 30, "status green again")
