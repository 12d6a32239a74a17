"""Too many deaths at once, on real processes: held, said, let go by hearing or by word; and a broker that was away holds nothing against
anybody."""
import json
import os
import signal

import pytest

from cluster import Cluster, wait_until
from conftest import make_cluster

WEB = ("provision", "--group", "web", "--image", "tiny", "--offering", "small", "--count", 10, "--spread", "host", "--wait")


@pytest.fixture
def null5(request):
    yield from make_cluster(request, "null", 5, up_args=["--set", "breaker-window-ms=3600000"])


def status(c):
    """Also while no monitor is heard yet, which is an exit code of its own."""
    return json.loads(c.run("status", "-o", "json").out)


def frozen(c):
    return status(c)["frozen"]


def on(c, node):
    return [i["id"] for i in c.running("web") if i["node"] == node]


def test_two_of_five_at_once(null5):
    c = null5
    c.ok(*WEB)
    lost = on(c, "node-1") + on(c, "node-2")
    since = c.newest() + 1
    c.dev("kill", "node-1")
    c.dev("kill", "node-2")
    (held,) = c.wait_events("node.held", 1, since)
    (said,) = c.wait_events("cluster.frozen", 1, since)
    assert said["data"]["by"] == "breaker" and (said["data"]["limit"], said["data"]["nodes"]) == (1, 5)
    assert "2 of 5 nodes" in status(c)["frozen_reason"]
    assert len(c.events("--from", since, "--filter", "node.failed")) == 1
    c.wait_running("web", 10)  # what the first lost is born again; what the held one has counts as running
    c.ok("thaw")
    c.wait_events("node.failed", 2, since)
    wait_until(lambda: not set(lost) & {i["id"] for i in c.running("web")} and len(c.running("web")) == 10, 30, "all is born again")
    assert not frozen(c) and held["cause"] == said["seq"]


def test_hearing_returns(null5):
    c = null5
    c.ok(*WEB)
    since = c.newest() + 1
    c.dev("freeze", "node-1")
    c.wait_events("node.failed", 1, since)
    there = on(c, "node-2")
    c.dev("freeze", "node-2")
    c.wait_events("cluster.frozen", 1, since)  # its node.held may come earlier, while its agent was heard lately
    c.dev("thaw", "node-2")
    c.wait_events("cluster.thawed", 1, since)
    assert len(c.events("--from", since, "--filter", "node.failed")) == 1
    wait_until(lambda: c.nodes_by_name()["node-2"]["state"] == "ready", 20, "node-2 ready again")
    assert there and on(c, "node-2") == there


def test_a_freeze_by_hand_outlives_the_broker(null5):
    c = null5
    c.ok(*WEB)
    c.ok("freeze", "--reason", "the switch is being replaced")
    since = c.newest() + 1
    c.dev("kill", "node-1")
    c.wait_events("node.held", 1, since)
    c.dev("kill", "broker")
    c.dev("start", "broker")
    assert frozen(c) and status(c)["frozen_reason"] == "the switch is being replaced"
    wait_until(lambda: status(c)["held"] == 1, 30, "held again")
    c.ok("thaw")
    c.wait_events("node.failed", 1, since)
    c.wait_running("web", 10)


def test_a_broker_that_was_stopped_blames_nobody(null5):
    c = null5
    c.ok(*WEB)
    before = sorted(i["id"] for i in c.running("web"))
    since = c.newest() + 1
    broker = c.pid("broker")
    os.kill(broker, signal.SIGSTOP)
    try:
        signal.sigtimedwait([], 8)  # longer than any silence, and than the heartbeats of connections
    finally:
        os.kill(broker, signal.SIGCONT)
    wait_until(lambda: all(n["state"] == "ready" and n["connected"] for n in c.json("nodes")), 30, "all are back")
    assert not c.events("--from", since, "--filter", "node.failed") and not frozen(c)
    assert sorted(i["id"] for i in c.running("web")) == before


@pytest.mark.parametrize("pair,words", [("silence_ms", "KEY=VALUE"), ("silence_ms=1 2", "a key is"), ("silense_ms=9", "silense_ms"),
                                        ("silence_ms=100", "3 times")])
def test_a_setting_that_is_refused(tmp_path, pair, words):
    result = Cluster(tmp_path / "s", 1, "null").run("dev", "up", "--state", tmp_path / "s", "--driver", "null", "--set", pair)
    assert result.code != 0 and words in result.err, result
