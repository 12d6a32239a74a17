"""Images, offerings and readiness as the command line has them, on simulated guests; and what a guest wrote, also when it is gone."""
import hashlib
import os
import pty
import re
import subprocess
import threading
import time

import pytest

from cluster import MAYFLY, check_log, wait_until
from peer import Peer

SMALL = ["--offering", "small"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_disk(c, name, data=None):
    path = c.state / name
    path.write_bytes(os.urandom(64 * 1024) if data is None else data)
    return path


def refused(c, *args, code=1):
    result = c.run(*args)
    assert result.code == code, result
    return result.err


def states(c, image):
    return {row["node"]: row["state"] for row in c.json("image", "nodes", image)}


def everywhere(c, image):
    return wait_until(lambda: (s := states(c, image)) and len(s) == 3 and set(s.values()) == {"cached"}, 30, f"{image} everywhere")


def test_an_image_by_url(null3):
    c = null3
    disk = make_disk(c, "debian.raw")
    sums = c.state / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  other.raw\n{sha256(disk.read_bytes())} *debian.raw\n")
    url = f"file://{disk}"
    c.ok("image", "add", "debian", "--url", url, "--digest-file", sums)
    row = next(i for i in c.json("image", "list") if i["name"] == "debian")
    assert row["disk"] == url and row["disk_format"] == "raw" and row["disk_sha256"] == sha256(disk.read_bytes())
    c.ok("image", "add", "debian", "--url", url, "--digest", "sha256:" + row["disk_sha256"].upper())  # the same again
    assert "exists" in refused(c, "image", "add", "debian", "--url", url, "--digest", "1" * 64)
    assert "no line with a SHA-256 of else.raw" in refused(c, "image", "add", "x", "--url", "http://h/else.raw", "--digest-file", sums)
    assert "user or password" in refused(c, "image", "add", "x", "--url", "http://ann:secret@h/d.raw", "--digest", "1" * 64)

    assert states(c, "debian") == {}
    since = c.newest() + 1
    assert "unknown" in refused(c, "image", "warm", "debian", "--nodes", "node-1,node-9")
    c.ok("image", "warm", "debian", "--nodes", "node-1")
    wait_until(lambda: states(c, "debian") == {"node-1": "cached"}, 30, "node-1 has it")
    c.ok("image", "warm", "debian", "--all")
    everywhere(c, "debian")
    told = [e["data"]["state"] for e in c.events("--from", since, "--filter", "node.image")]
    assert sorted(told) == ["cached"] * 3 + ["fetching"] * 3, told

    c.ok("provision", "--group", "web", "--count", 1, "--image", "debian", *SMALL, "--wait")
    assert "in-use" in refused(c, "image", "remove", "debian")
    c.ok("destroy", "web", "--wait")
    c.ok("image", "remove", "debian")
    assert "unknown" in refused(c, "image", "nodes", "debian")
    assert [i["name"] for i in c.json("image", "list")] == ["tiny"]
    check_log(c.events())


def test_who_joins_later_fetches_what_is_kept_warm(null3):
    c = null3
    disk = make_disk(c, "late.raw")
    c.dev("kill", "node-2")
    c.ok("image", "add", "late", "--url", f"file://{disk}", "--digest", sha256(disk.read_bytes()))
    c.ok("image", "warm", "late", "--all")
    wait_until(lambda: len(states(c, "late")) == 2, 30, "the two that are there have it")
    c.dev("start", "node-2")
    everywhere(c, "late")
    c.ok("image", "warm", "late", "--stop")


def test_births_go_where_the_image_is(null3):
    c = null3
    disk = make_disk(c, "near.raw")
    c.ok("image", "add", "near", "--url", f"file://{disk}", "--digest", sha256(disk.read_bytes()))
    c.ok("image", "warm", "near", "--nodes", "node-1")
    wait_until(lambda: states(c, "near") == {"node-1": "cached"}, 30, "node-1 has it")
    for i in range(3):
        c.ok("provision", "--group", f"g{i}", "--count", 1, "--image", "near", *SMALL, "--wait")
    assert {r["node"] for r in c.running()} == {"node-1"}


def test_a_wrong_file_is_a_failed_birth_with_a_reason(null1):
    c = null1
    disk = make_disk(c, "wrong.raw")
    c.ok("image", "add", "wrong", "--url", f"file://{disk}", "--digest", "2" * 64)
    c.ok("provision", "--group", "web", "--count", 1, "--image", "wrong", *SMALL)
    (failed,) = c.wait_events("instance.failed", 1, 0)
    assert failed["data"]["code"] == "image", failed
    (told,) = [e for e in c.wait_events("node.image", 2, 0) if e["data"]["state"] == "failed"]
    assert told["data"]["image"] == "wrong" and told["data"]["text"]
    assert c.json("image", "nodes", "wrong")[0]["reason"]


def test_local_disks_are_looked_into(null1):
    c = null1
    root = c.state / "images"
    (root / "page.raw").write_bytes(b"<!DOCTYPE html><html>not found</html>")
    (root / "disk.img").write_bytes(b"QFI\xfb\0\0\0\3" + bytes(504))
    (root / "backed.img").write_bytes(b"QFI\xfb\0\0\0\3" + bytes(6) + b"\1\0" + bytes(496))
    add = ["image", "add", "x", "--image-root", root, "--disk"]
    assert "web page" in refused(c, *add, "page.raw")
    assert "backing file" in refused(c, *add, "backed.img")
    assert "is qcow2 by what it holds" in refused(c, *add, "disk.img", "--disk-format", "raw")
    c.ok(*add, "disk.img")
    assert next(i for i in c.json("image", "list") if i["name"] == "x")["disk_format"] == "qcow2"


def test_offerings(null1):
    c = null1
    spec = c.state / "io.yaml"
    spec.write_text("vcpus: 2\nmemory_mib: 256\ndisk_mib: 1000\nclass: io\ndisk_iops: 20000\nuncapped: true\n")
    said = c.ok("offering", "add", "io", "--file", spec)
    assert "none of 1 is of class io" in said.out, said
    assert "exists" in refused(c, "offering", "add", "io", "--file", spec, "--vcpus", 3)
    c.ok("offering", "add", "plain", "--vcpus", 1, "--memory-mib", 64, "--disk-mib", 64)
    rows = {o["name"]: o for o in c.json("offerings")}
    assert rows["io"]["disk_iops"] == 20000 and not rows["io"]["disk_bytes_s"] and rows["io"]["uncapped"]
    assert rows["plain"]["disk_bytes_s"] == 64 << 20 and rows["plain"]["disk_iops"] == 1000
    table = c.ok("offerings").out
    assert "64 MiB/s" in table and "20000/s" in table, table
    assert "pinned" in refused(c, "offering", "add", "x", "--vcpus", 1, "--memory-mib", 64, "--disk-mib", 64, "--pinned",
                               "--cpu-quota-percent", 50)
    assert "burst" in refused(c, "offering", "add", "x", "--vcpus", 1, "--memory-mib", 64, "--disk-mib", 64, "--disk-burst-s", 5)
    spec.write_text("vcpus: 2\nmemory_mib: 256\ndisk_mib: lots\n")
    assert f"{spec}:3: disk_mib: expected a whole number" in refused(c, "offering", "add", "y", "--file", spec)
    c.ok("offering", "add", "huge", "--vcpus", 1, "--memory-mib", 16777216, "--disk-mib", 64)
    said = c.ok("provision", "--group", "far", "--count", 1, "--image", "tiny", "--offering", "huge")
    assert "no node that is known now could ever host it: it needs 16777216 MiB of memory" in said.out, said


def test_ready_guests_and_spares(null3):
    c = null3
    spec = c.state / "web.yaml"
    text = "group: web\ncount: 2\nimage: tiny\noffering: small\nspares: 1\nhealth:\n  ready: port\n  boot_ms: 60000\n"
    spec.write_text(text)
    said = c.ok("apply", "-f", spec, "--wait")
    assert "2 of 2 ready" in said.out, said
    wait_until(lambda: c.json("groups")[0]["spares_running"] == 1, 30, "the spare is well")
    rows = {r["slot"]: r for r in c.running("web")}
    assert [rows[i]["spare"] for i in range(3)] == [False, False, True]
    assert all(r["ready_ms"] for r in rows.values())
    table = c.ok("instances").out
    assert "running,ready,spare" in table and "ADDRESS" in table, table
    assert re.search(r"SPARES.*\n.* 1/1 ", c.ok("groups").out)
    # the same by options is the same; another health is not
    flags = ["provision", "--group", "web", "--count", 2, "--image", "tiny", *SMALL, "--spares", 1, "--ready", "port"]
    c.ok(*flags, "--boot-limit", "60s")
    assert "health" in refused(c, *flags, "--boot-limit", "61s")
    spec.write_text(text.replace("spares: 1", "spares: 2").replace("count: 2", "count: 1"))
    c.ok("apply", "-f", spec, "--wait")
    assert c.json("groups")[0]["spares"] == 2
    c.ok("scale", "web", 2, "--wait")
    check_log(c.events())


# -- what a guest wrote

class Hand(threading.Thread):
    """A worker played by hand: every order is done, every guest has written `output`."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.peer, self.over, self.report, self.do = Peer(cluster, "worker", "hand", "WORKER"), False, 0, []
        self.guests, self.output = set(), b""
        self.peer.hello(class_="hand")
        self.epoch = self.peer.hear_until("welcome")["epoch"]
        self.start()

    def tell(self, kind, **fields):
        self.report += 1
        self.peer.say(kind, report_id=self.report, epoch=self.epoch, **fields)

    def order(self, m, operation):
        (self.guests.add if operation == "create" else self.guests.discard)(m["id"])
        self.peer.say("order-ack", order_id=m["order_id"], epoch=self.epoch)
        self.tell("order-result", order_id=m["order_id"], id=m["id"], operation=operation, code="ok")

    def die(self, console):
        """Of all its guests."""
        self.do.append(lambda: [self.tell("fact-death", id=i, how="crashed", text="by hand", console=console) for i in self.guests]
                       and self.guests.clear())

    def run(self):
        said = 0
        while not self.over:
            while self.do:
                self.do.pop(0)()
            if time.monotonic() - said > 0.5:
                self.peer.say("worker-alive", epoch=self.epoch, guests=len(self.guests))
                said = time.monotonic()
            kind, m = self.peer.hear(0.05) or (None, None)
            if kind in ("order-create", "order-destroy"):
                self.order(m, kind.removeprefix("order-"))
            elif kind == "log-ask":
                ok = m["id"] in self.guests
                self.peer.say("log-tail", ask_id=m["ask_id"], epoch=self.epoch, code="ok" if ok else "unknown",
                              text=self.output[-m["bytes"]:] if ok else b"")


@pytest.fixture
def hand(null1):
    null1.dev("kill", "health-0")  # a worker by hand has no pulse, and nobody is to judge that
    null1.ok("offering", "add", "hand", "--vcpus", 1, "--memory-mib", 16, "--disk-mib", 1, "--class", "hand")
    worker = Hand(null1)
    yield worker
    worker.over = True
    worker.join()
    worker.peer.close()


def on_terminal(c, *args):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([MAYFLY, *args], env=c.env, stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    out = b""
    try:
        while piece := os.read(master, 4096):
            out += piece
    except OSError:  # the other end is closed: that is how a terminal ends
        pass
    os.close(master)
    assert process.wait(30) == 0
    return out


WILD = b"booting\n\x1b[2J\x1b]0;owned\x07\x9b31m\xff kernel panic\n"


def test_output_of_the_living_and_of_the_gone(null1, hand):
    c = null1
    c.ok("provision", "--group", "web", "--count", 1, "--image", "tiny", "--offering", "hand", "--wait")
    first = c.running("web")[0]["id"]
    hand.output = b"hello\n"
    assert c.ok("logs", "web/0").out == "hello\n"
    assert c.ok("logs", "web/0#1").out == "hello\n"
    hand.die(WILD)
    (died,) = c.wait_events("instance.died", 1, 0)
    assert bytes.fromhex(died["data"]["console"]) == WILD
    wait_until(lambda: [r for r in c.running("web") if r["generation"] == 2], 30, "web/0 reborn")
    assert c.ok("logs", "web/0").out == "hello\n"  # of the new one
    for name in ("web/0#1", first):
        kept = c.ok("logs", name)
        assert "kernel panic" in kept.out and f"web/0#1 is gone (crashed on hand); this is the end of its output, kept with event {died['seq']}" in kept.err
    shown = on_terminal(c, "logs", "web/0#1")
    assert b"kernel panic" in shown and b"\x1b" not in shown and b"\x07" not in shown
    for command in (["events"], ["why", "web/0#1"]):
        shown = on_terminal(c, *command)
        assert b"the end of its output was kept (mayfly logs)" in shown
        assert b"kernel panic" not in shown and b"owned" not in shown

    hand.die(b"")
    c.wait_events("instance.died", 2, 0)
    c.ok("destroy", "web", "--wait")
    assert "kernel panic" in c.ok("logs", "web/0").out  # the newest that kept anything
    assert "there is no instance" in refused(c, "logs", "web/7")
    assert "no event kept" in refused(c, "logs", "web/0#9")


def test_console_follows_until_the_end(null1, hand):
    c = null1
    c.ok("provision", "--group", "web", "--count", 1, "--image", "tiny", "--offering", "hand", "--wait")
    first = c.running("web")[0]["id"]
    hand.output = b"one\n"
    process = subprocess.Popen([MAYFLY, "console", first], env=c.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = b""
    for more in (b"two\n", b"two\n", b"x" * 70000, b"three\n"):
        while not seen.endswith(hand.output[-6:]):
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, process.stderr.read()
            seen += piece
        hand.output += more
    while not seen.endswith(b"three\n"):
        seen += os.read(process.stdout.fileno(), 65536)
    assert seen == b"one\ntwo\ntwo\n" + b"x" * 65536 + b"three\n", (len(seen), seen[:40], seen[-40:])  # a look is 64 KiB
    hand.die(b"the last words\n")
    out, err = process.communicate(timeout=30)
    assert out == b"the last words\n" and process.returncode == 0 and b"is gone" in err and b"not shown" in err, (out, err)
