"""Births from shells, on real QEMU: they are guests like any other, and what nobody took leaves nothing."""
import pathlib
import re

import pytest

from cluster import check_log, cmdline, kill, wait_until
from conftest import make_cluster

EACH = 2


@pytest.fixture
def shells2(request):
    yield from make_cluster(request, "libvirt", 2, up_args=[f"--agent-arg={word}" for word in ("--shells", EACH, "--shells-max", 4)])


def began_as_shell(c, pid):
    return "guest=mayfly-shell-" in cmdline(pid)


def wait_shells(c, node, count):
    wait_until(lambda: len(c.shells(node)) == c.idle_shells(node) == count, 60, f"{count} shells on {node}")


def born_of_shell(c, group, count):
    """The instances of a group once it has so many, by id, with their pids; all but the first began as shells."""
    rows = {r["id"]: r for r in c.wait_running(group, count, timeout=120)}
    pids = c.qemus()
    return rows, {i: pids[i] for i in rows}


def places(c, folder):
    return sorted(p.name for p in pathlib.Path(c.state).glob(f"nodes/*/{folder}/*"))


def test_shells(shells2, tmp_path):
    c = shells2
    script = tmp_path / "user-data"
    script.write_text("#!/bin/sh\necho marker-$((6 * 7))\n")
    # a node that was never asked for anything makes none; the first birth of a kind teaches it
    assert c.shells() == []
    c.ok("cordon", "node-1")
    c.ok("provision", "--group", "web", "--count", 1, "--image", "tiny", "--offering", "small", "--user-data", script, "--wait", timeout=120)
    wait_shells(c, "node-0", EACH)
    assert c.shells("node-1") == []

    # the next are born of them, and what they read is theirs
    c.ok("scale", "web", 2, "--wait", timeout=120)
    rows, pids = born_of_shell(c, "web", 2)
    shell_born = [i for i in rows if began_as_shell(c, pids[i])]
    assert len(shell_born) == 1
    (one,) = shell_born
    said = wait_until(lambda: (out := c.run("logs", one).out) and "marker-42" in out and out, 120, "user-data ran")
    assert f"mayfly: instance-id {one}" in said
    assert re.search(rf"mayfly: name web/{rows[one]['slot']}#1\b", said)
    wait_shells(c, "node-0", EACH)

    # an at-most group too
    c.ok("provision", "--group", "db", "--count", 1, "--image", "tiny", "--offering", "small", "--policy", "at-most", "--wait", timeout=120)
    rows, pids = born_of_shell(c, "db", 1)
    assert all(began_as_shell(c, pid) for pid in pids.values())
    wait_shells(c, "node-0", EACH)

    # the agent dies: guests live on as themselves, shells end with it
    before, shells = c.qemus(), set(c.shells())
    epoch = c.nodes_by_name()["node-0"]["epoch"]
    c.dev("kill", "--agent", "node-0")
    wait_until(lambda: (n := c.nodes_by_name()["node-0"])["epoch"] > epoch and n["state"] == "ready", 60, "agent of node-0 back")
    wait_until(lambda: not shells & set(c.shells()), 60, "what was nobody's is gone")
    assert c.qemus() == before and set(before) == {r["id"] for r in c.running()}

    # one dies: a fact, and a successor
    since = c.newest() + 1
    kill(before[one])
    (died,) = c.wait_events("instance.died", 1, since)
    assert died["data"]["id"] == one
    c.wait_running("web", 2, timeout=120)
    assert set(c.qemus()) == {r["id"] for r in c.running()}

    # a shell dies: nobody is told, and another is made
    wait_shells(c, "node-0", EACH)
    since, shells = c.newest() + 1, c.shells()
    kill(shells[0])
    wait_until(lambda: shells[0] not in c.shells(), 60, "that one is no more")
    wait_shells(c, "node-0", EACH)
    assert [e for e in c.events("--from", since) if e["type"].startswith("instance.")] == []

    # the whole node dies and comes back
    c.ok("uncordon", "node-1")
    c.dev("kill", "node-0")
    wait_until(lambda: {r["node"] for r in c.running()} == {"node-1"} and len(c.running()) == 3, 120, "all on node-1")
    c.dev("start", "node-0", timeout=120)
    wait_until(lambda: c.nodes_by_name()["node-0"]["state"] == "ready", 60, "node-0 back")
    assert set(c.qemus()) == {r["id"] for r in c.running()}

    c.ok("destroy", "web", "--wait", timeout=120)
    c.ok("destroy", "db", "--wait", timeout=120)
    assert c.qemus() == {} and places(c, "instances") == []
    wait_until(lambda: len(places(c, "shells")) == len(c.shells()), 60, "a folder for each shell and no other")
    check_log(c.events())


def memories(c):
    """How many shells there are of each size of memory, in MiB."""
    found = {}
    for pid in c.shells():
        words = cmdline(pid).split()
        if "-m" in words:  # it has not ended meanwhile
            mib = int(words[words.index("-m") + 1])
            found[mib] = found.get(mib, 0) + 1
    return found


def test_kinds_share_the_room(shells2):
    """Three kinds, room for two: the ones that were used last have theirs."""
    c = shells2
    c.ok("cordon", "node-1")
    for n, mib in enumerate((128, 132, 136)):
        c.ok("offering", "add", f"of-{mib}", "--vcpus", 1, "--memory-mib", mib, "--disk-mib", 64)
        c.ok("provision", "--group", f"g{n}", "--count", 1, "--image", "tiny", "--offering", f"of-{mib}", "--wait", timeout=120)
        wait_until(lambda: memories(c).get(mib) == EACH, 120, f"shells of {mib} MiB")
    wait_shells(c, "node-0", 2 * EACH)
    assert memories(c) == {132: EACH, 136: EACH}
    c.ok("scale", "g0", 2, "--wait", timeout=120)
    wait_until(lambda: memories(c) == {128: EACH, 136: EACH}, 120, "the kind that was used longest ago gave way")
