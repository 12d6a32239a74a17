"""What real guests say of themselves, and what is done about it: ready, never ready, in a panic, hung; where they are to be found."""
import os
import subprocess

import pytest
from cluster import check_log, wait_until
from conftest import make_cluster

BRIDGE, HOST, GUEST = f"mfb{os.getpid()}", "10.213.77.1", "10.213.77.15"
PANIC = "#!/bin/sh\necho 8 >/proc/sys/kernel/printk\necho c >/proc/sysrq-trigger\n"
SILENT = "#!/bin/sh\nexit 1\n"
HELLO = f"#!/bin/sh\nip addr add {GUEST}/24 dev eth0\nuntil ping -c 1 -W 1 {HOST} >/dev/null; do :; done\n"


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True).returncode == 0


@pytest.fixture(scope="module")
def bridge():
    made = ip("link", "add", BRIDGE, "type", "bridge") and ip("addr", "add", f"{HOST}/24", "dev", BRIDGE) and ip("link", "set", BRIDGE, "up")
    yield BRIDGE if made else None
    ip("link", "del", BRIDGE)


@pytest.fixture
def cluster(request, bridge):
    args = ["--domain-type", "qemu"]
    if bridge:
        args += ["--agent-arg=--network", f"--agent-arg=lan=bridge:{bridge}"]
    yield from make_cluster(request, "libvirt", 1, up_args=args)


def provision(c, tmp_path, group, user_data, *more):
    script = tmp_path / f"{group}.sh"
    script.write_text(user_data)
    since = c.newest() + 1
    c.ok("provision", "--group", group, "--count", 1, "--image", "tiny", "--offering", "small", "--user-data", script, *more, timeout=300)
    return since


def of(event, row):
    return event["data"].get("id") == row


def test_guests_speak(cluster, bridge, tmp_path):
    c = cluster

    # it says that it is well, after its user-data ran; an agent that is restarted knows
    since = provision(c, tmp_path, "web", "#!/bin/sh\ntrue\n", "--ready", "port")
    (ready,) = c.wait_events("instance.ready", 1, since, timeout=120)
    (running,) = c.wait_events("instance.running", 1, since)
    assert ready["data"]["id"] == running["data"]["id"] and ready["seq"] > running["seq"]
    epoch = c.nodes_by_name()["node-0"]["epoch"]
    c.dev("kill", "--agent", "node-0")
    wait_until(lambda: (n := c.nodes_by_name()["node-0"])["epoch"] > epoch and n["state"] == "ready", 60, "the agent is back")
    assert [e for e in c.events("--from", since) if e["type"] == "instance.ready"] == [ready]
    assert c.running("web")[0]["id"] == ready["data"]["id"]

    # a panic is a death, with the last words as evidence
    since = provision(c, tmp_path, "panic", PANIC)
    (died,) = c.wait_events("instance.died", 1, since, timeout=120)
    assert died["data"]["how"] == "crashed"
    said = died["data"]["console"]
    said = said if "panic" in said else bytes.fromhex(said).decode(errors="replace")
    assert "Kernel panic - not syncing" in said
    born = next(e for e in c.wait_events("instance.created", 2, since) if not of(e, died["data"]["id"]))
    assert born["data"]["born"] == "died" and born["data"]["replaces"] == died["data"]["id"]
    c.ok("destroy", "panic", "--wait", timeout=120)

    # one that never says so is given up, and its birth has failed
    since = provision(c, tmp_path, "silent", SILENT, "--ready", "port", "--boot-limit", "12s")
    (unwell,) = c.wait_events("instance.unwell", 1, since, timeout=120)
    assert unwell["data"]["how"] == "boot"
    c.ok("destroy", "silent", "--wait", timeout=120)

    # on a bridge it is found by the host's neighbour table
    if bridge:
        provision(c, tmp_path, "found", HELLO, "--network", "lan")
        wait_until(lambda: [r for r in c.running("found") if r.get("address") == GUEST], 120, "its address is known")
        c.ok("destroy", "found", "--wait", timeout=120)

    # a network that no node knows fails the birth, in a sentence
    since = provision(c, tmp_path, "lost", "", "--network", "moon")
    (failed,) = c.wait_events("instance.failed", 1, since, timeout=60)
    assert 'knows no network "moon"' in failed["data"]["text"]
    c.ok("destroy", "lost", "--wait", timeout=120)

    c.ok("destroy", "web", "--wait", timeout=120)
    assert c.qemus() == {}
    check_log(c.events())
