"""What a group says of where its instances may be, on real processes: simulated guests, four nodes in two racks."""
import pytest

from cluster import check_log, wait_until
from conftest import make_cluster

WEB = ["--image", "tiny", "--offering", "small"]


@pytest.fixture
def racks(request):
    yield from make_cluster(request, "null", 4, racks=2)


def rack(c, row):
    return c.nodes_by_name()[row["node"]]["labels"]["rack"]


def racks_of(c, group):
    return sorted(rack(c, row) for row in c.running(group))


def reasons(c, group):
    return {row["reason"] for row in c.instances(group) if row["state"] == "pending"}


def test_spread_apart_and_why_it_waits(racks):
    c = racks
    c.ok("provision", "--group", "web", "--count", 4, *WEB, "--spread-by", "rack", "--wait")
    assert racks_of(c, "web") == ["r0", "r0", "r1", "r1"]
    c.ok("destroy", "web", "--wait")

    # apart holds both ways: db keeps off web's rack, and web, growing, off db's
    c.ok("provision", "--group", "web", "--count", 1, *WEB, "--wait")
    c.ok("provision", "--group", "db", "--count", 2, *WEB, "--apart", "web", "--apart-by", "rack", "--wait")
    (own,) = racks_of(c, "web")
    (other,) = set(racks_of(c, "db"))
    assert own != other
    c.ok("scale", "web", 3)
    wait_until(lambda: len(c.running("web")) == 3, 30, "web has three")
    assert set(racks_of(c, "web")) == {own}

    # what has nowhere to go says why, a restarted broker still knows it, and an uncordon is enough
    for row in c.running("db"):
        c.ok("cordon", row["node"])
    c.ok("scale", "db", 3)
    why = {"0 of 4 nodes: 2 cordoned, 2 apart"}
    wait_until(lambda: reasons(c, "db") == why, 30, "one of db waits")
    c.dev("kill", "broker")
    c.dev("start", "broker")
    wait_until(lambda: all(n["state"] == "ready" and n["connected"] for n in c.nodes_by_name().values()), 60, "all nodes are back")
    wait_until(lambda: reasons(c, "db") == why, 30, "it waits for the same")
    c.ok("uncordon", c.running("db")[0]["node"])
    wait_until(lambda: len(c.running("db")) == 3, 30, "db has three")
    assert set(racks_of(c, "db")) == {other}
    check_log(c.events())
