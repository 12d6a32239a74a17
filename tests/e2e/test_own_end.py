"""The end of a worker whose guests end with it, as a container's do: told to, it says so, and nobody waits; killed, it is silent, and judged
by that; its agent's death alone is none of that. And a drain before the end."""
import signal

import pytest

import init
from cluster import wait_until
from conftest import make_cluster
from test_observe import get

GROUP = ("--image", "tiny", "--offering", "small", "--spread", "host", "--wait")


@pytest.fixture
def world(request):
    """Three nodes; node-0 is PID 1. Leases are so long that nobody waits for one."""
    why = init.missing()
    if why:
        pytest.skip(f"NO NETWORK NAMESPACES HERE, nor others: {why}")
    arguments = getattr(request, "param", ())
    for cluster in make_cluster(request, "null", 3, settings={"lease_ms": 600000, "renew_ms": 1000}):
        node = init.Init(cluster, "node-0", *arguments)
        try:
            since = cluster.newest() + 1
            node.start()
            cluster.wait_events("node.ready", 1, since)
            cluster.ok("provision", "--group", "web", "--count", 6, *GROUP)
            cluster.ok("provision", "--group", "one", "--count", 3, "--policy", "at-most", *GROUP)
            yield cluster, node
        finally:
            node.end()


def on(cluster, node):
    return {i["id"]: i for group in ("web", "one") for i in cluster.running(group) if i["node"] == node}


def rows(cluster, since, kind):
    return cluster.events("--from", since, "--filter", kind)


def test_told_to_end_it_says_so(world):
    c, node = world
    there = on(c, "node-0")
    assert {i["group"] for i in there.values()} == {"web", "one"}
    flaps = c.nodes_by_name()["node-0"].get("flaps", 0)
    since = c.newest() + 1
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    c.wait_running("web", 6)
    c.wait_running("one", 3)  # without its proof this would take the ten minutes of a lease
    (failed,) = rows(c, since, "node.failed")
    assert failed["data"]["evidence"] == "ended" and failed["data"]["node"] == "node-0"
    died = rows(c, since, "instance.died")
    assert {e["data"]["id"] for e in died} == set(there)
    assert {(e["cause"], e["data"]["how"]) for e in died} == {(failed["seq"], "node-ended")}
    for kind in ("instance.pending", "node.suspect", "node.recovered"):
        assert not rows(c, since, kind)
    assert c.null_processes("node-0") == []
    since = c.newest() + 1
    node.start()
    c.wait_events("node.ready", 1, since)
    assert not rows(c, since, "node.delayed") and c.nodes_by_name()["node-0"].get("flaps", 0) == flaps


def test_killed_it_is_judged_by_its_silence(world):
    c, node = world
    there = on(c, "node-0")
    since = c.newest() + 1
    node.signal(signal.SIGKILL)
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["data"]["evidence"] == "closed"
    c.wait_running("web", 6)
    at_most = [i for i in there.values() if i["group"] == "one"]
    assert len(c.running("one")) == 3 - len(at_most)  # the lease may still hold there, for all that anybody knows
    since = c.newest() + 1
    node.start()
    c.wait_running("one", 3)  # another incarnation: what the one before it had is dead
    gone = {e["data"]["id"]: e["data"]["proof"] for e in rows(c, since, "instance.gone")}
    assert all("booted" in gone[i["id"]] for i in at_most)


def test_its_agent_alone_is_not_its_end(world):
    c, node = world
    there = on(c, "node-0")
    since = c.newest() + 1
    init.kill(node.agent(), signal.SIGKILL)
    c.wait_events("node.ready", 1, since)
    assert on(c, "node-0").keys() == there.keys()
    for kind in ("node.failed", "instance.died", "instance.lost", "instance.created"):
        assert not rows(c, since, kind)


@pytest.mark.parametrize("world", [("--drain-on-stop", 60000)], indirect=True)
def test_drained_before_its_end(world):
    c, node = world
    there = on(c, "node-0")
    since = c.newest() + 1
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    (drained,) = rows(c, since, "node.drained")
    (draining,) = rows(c, since, "node.draining")
    assert draining["data"]["leaving"] and draining["cause"] == 0
    (failed,) = rows(c, since, "node.failed")
    assert failed["seq"] > drained["seq"] and failed["data"]["evidence"] == "ended" and not failed["data"].get("instances")
    by_seq = {e["seq"]: e for e in c.events("--from", since)}
    ends = {e["data"]["id"]: by_seq[e["cause"]] for e in rows(c, since, "instance.destroying")}
    for id, instance in there.items():  # successors first, where two may run at once
        assert ends[id]["type"] == ("instance.running" if instance["group"] == "web" else ends[id]["type"])
    assert not rows(c, since, "instance.died") and not rows(c, since, "instance.lost")
    c.wait_running("web", 6)
    c.wait_running("one", 3)
    since = c.newest() + 1
    node.start()
    c.wait_events("node.ready", 1, since)
    row = c.nodes_by_name()["node-0"]
    assert not row.get("cordoned") and not row.get("draining")
    c.ok("scale", "web", 9, "--wait")
    assert any(i["node"] == "node-0" for i in c.running("web"))


@pytest.mark.parametrize("world", [("--drain-on-stop", 60000)], indirect=True)
def test_a_node_that_drains_is_not_ready(world):
    c, node = world
    page = lambda: get(c, "node-0", "/readyz")  # noqa: E731
    assert page() == (200, "ready\n")
    for other in ("node-1", "node-2"):
        c.ok("cordon", other)  # so that its drain waits
    node.signal(signal.SIGTERM)
    assert wait_until(lambda: (p := page())[0] == 503 and p, 20, "it is not ready any more") == (503, "draining\n")
    for other in ("node-1", "node-2"):
        c.ok("uncordon", other)
    assert node.wait() == 0
    c.wait_running("web", 6)
