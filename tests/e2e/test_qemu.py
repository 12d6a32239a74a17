"""The main job on real QEMU guests."""
import pathlib

from cluster import check_log, kill, wait_until


def test_birth_death_rebirth_end(qemu3, tmp_path):
    c = qemu3
    script = tmp_path / "user-data"
    script.write_text("#!/bin/sh\necho marker-$((6 * 7))\n")
    c.ok("provision", "--group", "web", "--count", 3, "--image", "tiny", "--offering", "small", "--spread", "host",
         "--user-data", script, "--wait", timeout=300)
    rows = {r["id"]: r for r in c.running("web")}
    assert len(rows) == 3 and set(c.qemus()) == set(rows)
    assert {r["node"] for r in rows.values()} == {"node-0", "node-1", "node-2"}

    # the guest read its seed and ran the script
    wait_until(lambda: "marker-42" in c.run("logs", "web/0").out, 120, "user-data ran in web/0")

    # the agent dies: guests live on under the same pids, nothing is replaced
    pids = c.qemus()
    epoch = c.nodes_by_name()["node-0"]["epoch"]
    c.dev("kill", "--agent", "node-0")
    wait_until(lambda: (n := c.nodes_by_name()["node-0"])["epoch"] > epoch and n["state"] == "ready", 60, "agent of node-0 back")
    assert c.qemus() == pids

    # one QEMU dies: a fact, and a successor
    victim = next(r for r in rows.values() if r["node"] == "node-0")
    since = c.newest() + 1
    kill(pids[victim["id"]])
    (died,) = c.wait_events("instance.died", 1, since)
    assert died["data"]["id"] == victim["id"]
    after = c.wait_running("web", 3)
    assert set(c.qemus()) == {r["id"] for r in after}

    # a hypervisor dies
    since = c.newest() + 1
    c.dev("kill", "node-1")
    c.wait_events("node.failed", 1, since)
    after = c.wait_running("web", 3)
    assert "node-1" not in {r["node"] for r in after}
    assert set(c.qemus()) == {r["id"] for r in after}

    # a hypervisor falls silent with its guests, is replaced, and comes back: what was replaced is proven gone
    since = c.newest() + 1
    c.dev("freeze", "node-2")
    c.wait_events("node.failed", 1, since)
    wait_until(lambda: len([r for r in c.running("web") if r["node"] == "node-0"]) == 3, 60, "all on node-0")
    c.dev("thaw", "node-2")
    wait_until(lambda: c.nodes_by_name()["node-2"]["state"] == "ready", 60, "node-2 back")
    wait_until(lambda: set(c.qemus()) == {r["id"] for r in c.running("web")}, 60, "only what the broker knows runs")

    c.ok("destroy", "web", "--wait", timeout=120)
    assert c.qemus() == {} and c.instances() == []
    left = [p for p in pathlib.Path(c.state).rglob("*.qcow2")] + [p for p in pathlib.Path(c.state).rglob("seed.iso")]
    # node-1 is dead and keeps its rubbish until it returns
    assert [p for p in left if "node-1" not in str(p)] == []
    c.dev("start", "node-1", timeout=120)
    wait_until(lambda: c.nodes_by_name()["node-1"]["state"] == "ready", 60, "node-1 back")
    wait_until(lambda: not [p for p in pathlib.Path(c.state).rglob("*.qcow2")], 30, "node-1 gave the disks back")
    check_log(c.events())


def test_broker_dies_while_guests_are_born(qemu3):
    c = qemu3
    c.ok("provision", "--group", "web", "--count", 4, "--image", "tiny", "--offering", "small")
    c.dev("kill", "broker")
    c.dev("start", "broker")
    rows = c.wait_running("web", 4, timeout=120)
    assert set(c.qemus()) == {r["id"] for r in rows}
    c.ok("destroy", "web", "--grace", 5, "--wait", timeout=120)
    assert c.qemus() == {}
    check_log(c.events())
