"""Workers, broker and monitor as containers, with podman and runc and real guests. In way (b) a worker is its own hypervisor, with QEMU inside
the container; in way (a) it uses the host's libvirt by its socket. docs/CONTAINERS.md tells what is promised of each."""
import pathlib
import re
import shutil
import tempfile

import pytest

import containers
from cluster import check_log, cmdline, kill, wait_until
from containers import Containers, HostLibvirt, host_worker

WEB = ["provision", "--group", "web", "--image", "tiny", "--offering", "small"]


@pytest.fixture(scope="session")
def runtime():
    why = containers.missing()
    if why:
        pytest.skip(f"{containers.NO_CONTAINERS}: {why}")
    containers.build_images()


def make(request, nodes, prepare=None):
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    libvirt = prepare(state) if prepare else None
    cluster = Containers(state, nodes(state))
    cluster.libvirt = libvirt
    try:
        if libvirt:
            libvirt.start()
        cluster.up()
        yield cluster
        complaints = cluster.complaints()
    except BaseException:
        cluster.print_logs()
        raise
    finally:
        if getattr(request.node, "failed", False):
            cluster.print_logs()
        cluster.down()
        if libvirt:
            libvirt.end()
        left = cluster.left()
        shutil.rmtree(state, ignore_errors=True)
    assert left == [], f"left of the cluster: {left}"
    assert complaints == [], complaints


DRAINS = {"keeper": ["--drain-on-stop", "60000"]}


@pytest.fixture
def trio(request, runtime):
    """Three workers, each its own hypervisor; the second drains when it is stopped."""
    yield from make(request, lambda state: {"w0": {}, "w1": DRAINS, "w2": {}})


def provision(c, count, *more):
    c.ok(*WEB, "--count", count, "--spread", "host", *more, "--wait", timeout=300)
    return {r["id"]: r for r in c.running("web")}


def on(c, node):
    return [r for r in c.running("web") if r["node"] == node]


def only_the_known_run(c, nodes=("w0", "w1", "w2")):
    """What runs, by the processes there are, is what the broker says."""
    wait_until(lambda: {i for node in nodes for i in c.qemus(node)} == {r["id"] for r in c.running("web") if r["node"] in nodes}, 60,
               "only what the broker knows runs")


def healed(c, count, without):
    wait_until(lambda: len(rows := c.running("web")) == count and without not in {r["node"] for r in rows}, 90, f"{count} run without {without}")


def used_again(c, node, before):
    """Purged of what was replaced meanwhile, and given births again."""
    c.run("uncordon", node)  # a node that failed lately waits; an operator's word ends that
    c.wait_ready(node)
    assert not set(c.qemus(node)) & before, "what was replaced was proven gone before the node was ready"
    count = len(c.running("web"))
    c.ok("scale", "web", count + 2, "--wait", timeout=120)
    assert on(c, node), f"{node} is given births again"
    c.ok("scale", "web", count, "--wait", timeout=120)
    only_the_known_run(c)


def test_kill_pause_and_cable(trio):
    c = trio
    rows = provision(c, 3)
    assert {r["node"] for r in rows.values()} == {"w0", "w1", "w2"}
    for node in c.specs:
        assert cmdline(c.container_pid(node)).startswith("/usr/bin/mayfly-keeper"), "PID 1 is the keeper"
        assert len(c.qemus(node)) == 1
    for member in c.members():
        assert c.inside(member, "mayfly", "--version").stdout.startswith("mayfly")

    # podman kill: the hypervisor's death
    since, lost = c.newest() + 1, set(c.qemus("w0"))
    c.do("kill", "w0")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["data"]["node"] == "w0"
    healed(c, 3, "w0")
    c.do("start", "w0")
    used_again(c, "w0", lost)

    # podman pause: silence, with the guests standing still; then it is back with what was replaced
    since, stale = c.newest() + 1, set(c.qemus("w1"))
    assert stale
    c.do("pause", "w1")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["data"]["node"] == "w1"
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "w1"]) == 3, 90, "three run elsewhere")
    assert set(c.qemus("w1")) == stale, "they are there, frozen"
    c.do("unpause", "w1")
    used_again(c, "w1", stale)

    # its cable is pulled: a partition; the guests run on until it is back
    since, stale, veth = c.newest() + 1, set(c.qemus("w2")), c.veth("w2")
    assert stale
    c.link(veth, up=False)
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["data"]["node"] == "w2"
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "w2"]) == 3, 90, "three run elsewhere")
    assert set(c.qemus("w2")) == stale, "they run on behind the cut"
    c.link(veth, up=True)
    used_again(c, "w2", stale)

    c.ok("destroy", "web", "--wait", timeout=120)
    assert c.qemus() == {}
    check_log(c.events())


def test_stop_and_restart(trio):
    """Ends in order are facts: told before the container is gone, and made good at once."""
    c = trio
    rows = provision(c, 3)

    # podman stop with --drain-on-stop: the successors run before the old ones end
    since = c.newest() + 1
    c.stop("w1", 60)
    assert len(on(c, "w1")) == 0 and len(c.running("web")) == 3, "nothing was missing when the stop was over"
    assert c.inspect("w1")["State"]["ExitCode"] == 0
    events = c.events("--from", since)
    at = {e["type"]: e["seq"] for e in reversed(events)}  # the first of each
    assert at["node.draining"] < at["instance.running"] < at["instance.gone"] < at["node.drained"], events
    assert not [e for e in events if e["type"] in ("instance.lost", "instance.died")], events
    c.do("start", "w1")
    c.wait_ready("w1")
    c.ok("scale", "web", 5, "--wait", timeout=120)
    assert on(c, "w1"), "a drain of its own ends with its next start"

    # podman restart, without a drain: its guests die with it, which is told, and they are born again
    since, ended = c.newest() + 1, set(c.qemus("w2"))
    assert ended
    c.restart("w2")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert (failed["data"]["node"], failed["data"]["evidence"]) == ("w2", "ended")
    wait_until(lambda: len(c.running("web")) == 5, 90, "five run again")
    assert not ended & {r["id"] for r in c.running("web")}
    told = {e["data"]["id"] for e in c.events("--from", since) if e["type"] in ("instance.lost", "instance.died")}
    assert ended <= told, "never a silent loss"
    c.wait_ready("w2")
    only_the_known_run(c)
    c.ok("destroy", "web", "--wait", timeout=120)
    check_log(c.events())


# -- way (a): the host's libvirt

def host_libvirt(state):
    state.chmod(0o755)
    return HostLibvirt(state / "libvirt")


@pytest.fixture
def host(request, runtime):
    yield from make(request, lambda state: {"w0": host_worker(state, "w0", "--pid", "host")}, host_libvirt)


@pytest.fixture
def host_harmless(request, runtime):
    """It sees the guests' processes, and may not kill them."""
    yield from make(request, lambda state: {"w0": host_worker(state, "w0", "--pid", "host") | {"rights": ("--cap-add", "DAC_OVERRIDE")}}, host_libvirt)


@pytest.fixture
def host_apart(request, runtime):
    yield from make(request, lambda state: {"w0": host_worker(state, "w0")}, host_libvirt)


def test_host_libvirt(host):
    """Ten guests live through restarts and kills of their worker's container, and are held by pidfds all along."""
    c = host
    assert c.nodes_by_name()["w0"]["fences"] is True
    ids, pids = set(provision(c, 10)), c.libvirt.guests()
    assert set(pids) == ids
    since, epoch = c.newest() + 1, c.nodes_by_name()["w0"]["epoch"]
    for what in (lambda: c.restart("w0"), lambda: (c.do("kill", "w0"), c.do("start", "w0"))):
        what()
        wait_until(lambda: (n := c.nodes_by_name()["w0"])["epoch"] > epoch and n["state"] == "ready", 60, "w0 is back")
        epoch = c.nodes_by_name()["w0"]["epoch"]
        assert c.libvirt.guests() == pids, "the same processes"
    wait_until(lambda: {r["id"] for r in c.running("web")} == ids, 30, "all ten are the ones of before")
    assert not [e for e in c.events("--from", since) if e["type"] in ("instance.died", "instance.gone") and e["data"]["id"] in ids]

    # a death, seen by pidfd; and libvirt's own restart, which no guest notices
    since = c.newest() + 1
    victim = next(iter(ids))
    kill(pids[victim])
    (died,) = c.wait_events("instance.died", 1, since)
    assert died["data"]["id"] == victim
    c.wait_running("web", 10)
    c.libvirt.stop()
    c.ok("scale", "web", 9)
    c.libvirt.start()
    wait_until(lambda: len(c.running("web")) == 9 and len(c.libvirt.guests()) == 9, 90, "what was ordered meanwhile is done when libvirt is back")
    c.ok("destroy", "web", "--wait", timeout=180)
    assert c.libvirt.guests() == {}
    check_log(c.events())


def test_host_libvirt_without_its_pids(host_apart):
    """Without --pid host the guests' processes cannot be seen: no at-most there, which is said; deaths come by libvirt's events."""
    c = host_apart
    node = c.nodes_by_name()["w0"]
    assert node["fences"] is False
    wait_until(lambda: "--pid host" in c.log("w0"), 10, "the log says why, and what to do")
    ids = set(provision(c, 2))
    refused = c.run("provision", "--group", "one", "--count", 1, "--image", "tiny", "--offering", "small", "--policy", "at-most", "--wait", "--timeout", 5)
    assert refused.code != 0
    assert [r for r in c.instances("one") if "cannot fence" in r.get("reason", "")], c.instances("one")
    since, victim = c.newest() + 1, next(iter(ids))
    kill(c.libvirt.guests()[victim])
    (died,) = c.wait_events("instance.died", 1, since)
    assert died["data"]["id"] == victim
    wait_until(lambda: len(c.running("web")) == 2 and len(c.libvirt.guests()) == 2, 60, "born again")
    pids = c.libvirt.guests()
    c.restart("w0")
    c.wait_ready("w0")
    assert c.libvirt.guests() == pids
    c.ok("destroy", "one", timeout=60)
    c.ok("destroy", "web", "--wait", timeout=120)
    check_log(c.events())


def test_host_libvirt_without_the_right_to_kill(host_harmless):
    """Its guests are another user's processes: who may not kill them cannot promise to end them."""
    c = host_harmless
    assert c.nodes_by_name()["w0"]["fences"] is False
    wait_until(lambda: "--cap-add KILL" in c.log("w0"), 10, "the log says why, and what to do")
    ids = set(provision(c, 1))
    since = c.newest() + 1
    kill(c.libvirt.guests()[ids.pop()])
    c.wait_events("instance.died", 1, since)
    c.wait_running("web", 1)
    c.ok("destroy", "web", "--wait", timeout=120)


@pytest.fixture
def host_auto(request, runtime):
    def nodes(state):
        spec = host_worker(state, "w0", "--pid", "host")
        return {"w0": spec | {"agent": ["auto" if word == "qemu" else word for word in spec["agent"]]}}
    yield from make(request, nodes, host_libvirt)


def test_host_libvirt_is_asked_about_kvm(host_auto):
    """Its container has no /dev/kvm: what counts is what the host's libvirt offers, and that a guest of that boots."""
    c = host_auto
    assert c.libvirt.guests() == {}, "what was tried is gone"
    if c.nodes_by_name()["w0"]["driver"] == "libvirt/qemu":
        assert re.search("guests are emulated", c.log("w0")) and "/dev/kvm:" not in c.log("w0")
    ids = set(provision(c, 1))
    assert set(c.libvirt.guests()) == ids
    c.restart("w0")
    wait_until(lambda: c.state_of("w0") == "ready" and {r["id"] for r in c.running("web")} == ids, 60, "w0 is back")
    c.ok("destroy", "web", "--wait", timeout=120)


# -- what is missing

def test_what_a_container_lacks(runtime):
    """Each is said by a container's last words, and it ends or tries on as documented."""
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    c = Containers(state, {})
    try:
        for folder in ("keys", "home", "run"):
            (state / folder).mkdir()
        c.ok("key", "init", state / "keys")
        c.ok("key", "create", "--role", "worker", "w0", "--keys", state / "keys")
        key = ["--volume", f"{state}/keys/w0.cert_secret:/etc/mayfly/keys/node.cert_secret:ro"]
        home = ["--volume", f"{state}/home:/var/lib/mayfly"]

        def run(image, *words, options=()):
            name = f"{c.id}-{len(c.names)}"
            c.names.append(name)
            containers.podman("run", "--detach", "--name", name, "--label", c.label, "--network", "none", "--read-only", *containers.LIMITS, *options,
                              f"{containers.PREFIX}-{image}", *words)
            return name

        def says(name, *words, code=None):
            wait_until(lambda: all(w in logs(name) for w in words), 60, f"{name} says {words}")
            if code is not None:
                assert containers.podman("wait", name).stdout.strip() == str(code), logs(name)
            else:
                assert containers.podman("inspect", "--format", "{{.State.Running}}", name).stdout.strip() == "true", logs(name)

        def logs(name):
            done = containers.podman("logs", name)
            return done.stdout + done.stderr

        c.names = []
        worker = ["--", "--config", "/etc/mayfly/agent.yaml", "--broker", "tcp://127.0.0.1:1"]
        says(run("worker", *worker, "--driver", "null", options=home), "node.cert_secret: no such file", code=2)
        says(run("worker", *worker, "--driver", "null", options=[*key, "--volume", f"{state}/home:/var/lib/mayfly:ro"]), "Read-only file system", "volume",
             code=2)
        says(run("worker-qemu", *worker, "--domain-type", "kvm", options=[*key, *home, *containers.RIGHTS]), "domain type kvm, but /dev/kvm", "--device /dev/kvm")
        says(run("worker", *worker, "--uri", "qemu:///system", options=[*key, *home]), "is libvirtd running", "/run/libvirt")
        says(run("worker", *worker, "--driver", "null", options=[*key, *home, "--user", "7100:7100"]), "runs as user 7100", code=2)
        says(run("worker-qemu", *worker, "--domain-type", "qemu", options=[*key, *home]), "CAP_SETPCAP", "--cap-add", "starting another soon")
        says(run("broker", options=["--volume", f"{state}/keys:/etc/mayfly/keys:ro"]), "broker.cert_secret", "runs as user 7100", code=1)
        says(run("broker"), "no such file", "mayfly key init", code=1)
        says(run("health", "--broker", "tcp://127.0.0.1:1"), "no such file", "mayfly key create", code=1)
    finally:
        c.down()
        shutil.rmtree(state, ignore_errors=True)
