"""Guests that say that they are well, that do not in time, and spares that take a failed one's place: real QEMU guests."""
import time

from cluster import check_log, kill, wait_until

QUICK_DEATH_MS = 10500
WEB = ["--image", "tiny", "--offering", "small", "--ready", "port"]


def group(c, name):
    return next(g for g in c.json("groups") if g["group"] == name)


def full(c, name, running, spares):
    row = group(c, name)
    return row["running"] == running and row["ready"] == running and row["spares_running"] == spares


def test_a_spare_takes_the_place_of_what_died(qemu3):
    c = qemu3
    c.ok("provision", "--group", "web", "--count", 2, "--spares", 1, *WEB, "--spread", "host", "--wait", timeout=300)
    wait_until(lambda: full(c, "web", 2, 1), 120, "two run and a spare stands by")
    rows = {(r["slot"]): r for r in c.running("web")}
    assert rows[2]["spare"] and not rows[0]["spare"]
    assert rows[2]["node"] not in (rows[0]["node"], rows[1]["node"])  # no failure takes both

    # of age: a node where one died at once is shunned for a while, and the next spare might share a node with a member
    wait_until(lambda: time.time() * 1000 - rows[0]["running_ms"] > QUICK_DEATH_MS, 30, "web/0 has lived a while")
    since = c.newest() + 1
    kill(c.qemus()[rows[0]["id"]])
    (promoted,) = c.wait_events("slot.promoted", 1, since)
    assert promoted["data"]["id"] == rows[2]["id"] and promoted["data"]["replaces"] == rows[0]["id"] and promoted["subject"] == "default/web/0#2"
    assert {r["slot"]: r["id"] for r in c.running("web") if not r["spare"]} == {0: rows[2]["id"], 1: rows[1]["id"]}
    wait_until(lambda: full(c, "web", 2, 1), 120, "there is a spare again")

    # a node's death takes a member: the spare has its place at once, and the next spare is elsewhere
    victim = next(r for r in c.running("web") if r["slot"] == 1)
    since = c.newest() + 1
    c.dev("kill", victim["node"])
    (promoted,) = c.wait_events("slot.promoted", 1, since)
    assert promoted["data"]["replaces"] == victim["id"]
    wait_until(lambda: full(c, "web", 2, 1), 120, "there is a spare again")

    # scaling makes a member of it, without a birth of its own
    spare = next(r for r in c.running("web") if r["spare"])
    c.ok("scale", "web", 3)
    assert next(r for r in c.running("web") if r["slot"] == 2)["id"] == spare["id"]
    assert group(c, "web")["running"] == 3
    c.ok("destroy", "web", "--wait", timeout=120)
    check_log(c.events())


def test_who_is_not_ready_in_time_is_born_again_and_says_why(qemu3, tmp_path):
    c = qemu3
    script = tmp_path / "user-data"
    script.write_text("#!/bin/sh\necho giving-up-$((6 * 7))\nexit 1\n")
    since = c.newest() + 1
    c.ok("provision", "--group", "sick", "--count", 1, *WEB, "--boot-limit", "12s", "--user-data", script)
    (unwell,) = c.wait_events("instance.unwell", 1, since, timeout=120)
    assert unwell["data"]["how"] == "boot" and unwell["subject"] == "default/sick/0#1"
    c.wait_events("instance.created", 2, since, timeout=60)
    (gone,) = c.wait_events("instance.gone", 1, since, timeout=60)
    assert gone["data"]["id"] == unwell["data"]["id"]
    assert "giving-up-42" in c.ok("logs", "sick/0#1").out  # evidence of what is gone
    assert not group(c, "sick")["ready"]
    c.ok("destroy", "sick", "--wait", timeout=120)
