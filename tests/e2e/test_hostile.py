"""Peers with good keys and bad manners at every door: each is told what is wrong, and nobody else feels it."""
import os
import re
import socket
import sqlite3
import subprocess
import uuid

import msgpack
import pytest

from cluster import MAYFLY, check_log, wait_until
from peer import Peer, message_table

ROLES = ("operator", "client", "reader", "monitor", "worker")
WEB = ["provision", "--group", "web", "--image", "tiny", "--offering", "small"]
REFUSED = {"forbidden", "invalid"}


@pytest.fixture
def city(null3):
    """A cluster with six instances that must all be there in the end, untouched, in the same session of the same broker."""
    c = null3
    c.ok(*WEB, "--count", 6, "--spread", "host", "--wait")
    before, broker = {r["id"] for r in c.running("web")}, c.pid("broker")
    c.before = before
    yield c
    assert {r["id"] for r in c.running("web")} >= before, "somebody else's instances were harmed"
    assert c.pid("broker") == broker and os.path.exists(f"/proc/{broker}"), "the broker did not live through it"
    assert c.run("status").code == 0
    check_log(c.events())


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) // 1024


def refusal(peer, *frames):
    peer.raw(*frames)
    name, body = peer.hear()
    assert name == "error", (frames[0][:40], name, body)
    assert len(body["text"]) > 10 and body["retry"] is False, body
    return body["code"]


def test_frames(city):
    client = Peer(city, "client", "mallory")
    worker = Peer(city, "worker", "evil", "WORKER")
    deep, many = b"\x91" * 4000 + b"\xc0", {f"k{i}": i for i in range(200)}
    for peer in (client, worker):
        for frames in ([b"MF1 status"], [b"", b"", b"", b""], [b"x"] * 60, [b"MF1 status", b"\x80", b"x"], [b"M" * 1000, b"\x80"],
                       [b"MF1 status", b"x" * ((1 << 20) + 1)], [b"mf1 status", b"\x80"], [b"MF1 nonsense", b"\x80"],
                       [b"MF1 status", deep], [b"MF1 status", b"\xdf\xff\xff\xff\xff"], [b"MF1 status", b"\xc7\x01\x01x"],
                       [b"MF1 status", msgpack.packb({"request_id": "r", "deep": [[[[[[[[[[]]]]]]]]]]})],
                       [b"MF1 hello", msgpack.packb({"machine_id": "\x00"})], [b"MF1 status", b"\x82\xa1a\x01\xa1a\x01"]):
            assert refusal(peer, *frames) in REFUSED, frames[0][:40]
        assert refusal(peer, b"MF2 status", b"\x80") == "version"
        assert refusal(peer, b"MF1 status", msgpack.packb({"request_id": "r", **many})) == "too-large"
        peer.raw(b"MF1 status", bytes(2 << 20))  # beyond what a frame may be at all: the connection ends, and comes again
    assert client.ask("status")[0] == "status-reply"


def test_every_kind_from_every_role(city):
    """By the table in docs/PROTOCOL.md: what a role may not send is forbidden, before its body is looked at for sense."""
    table = message_table()
    assert len(table) > 35
    samples = {"provision": dict(group="no", count=1, image="none", offering="none"), "scale": dict(group="no", count=1),
               "destroy": dict(target="no"), "status": {}, "list-groups": {}, "list-nodes": {}, "list-images": {}, "list-offerings": {},
               "list-instances": {}, "backup": dict(offset=2**63 - 1), "logs": dict(target="no/0"),
               "subscribe": dict(stream=1, from_=2**64 - 1, credit=1), "credit": dict(stream=9, credit=1), "unsubscribe": dict(stream=9),
               "image-add": dict(image=dict(name="tiny", kernel="k", kernel_sha256=bytes(32), initrd="i", initrd_sha256=bytes(32))),
               "offering-add": dict(offering=dict(name="small", vcpus=9, memory_mib=16, disk_mib=1)),
               "monitor-alive": dict(nodes_heard=0, nodes_known=0), "monitor-hello": dict(pulse_address="127.0.0.1:9"),
               "monitor-verdict": dict(node="node-0", epoch=2**64 - 1, verdict="failed", evidence="silence"),
               "order-ack": dict(order_id=1, epoch=1), "worker-alive": dict(epoch=1, guests=0)}
    for role in ROLES:
        peer = Peer(city, role, f"any-{role}", "WORKER" if role == "worker" else "CLIENT")
        for kind, senders in table.items():
            if role in senders:
                continue
            peer.say(kind, request_id="r", **samples.get(kind, {}))
            name, body = peer.hear()
            assert name == "error", (role, kind, name)
            assert body["code"] == "forbidden" if kind in samples else body["code"] in REFUSED, (role, kind, body)
        peer.close()


def test_requests(city):
    client = Peer(city, "client", "mallory")
    for target in ("web/99999999999999999999", "/", "a/b/c", "web/-1", "web/0/", "web/4294967296", "%s%n", "\x1b[2J", "é" * 100, "😀" * 50):
        for kind in ("destroy", "logs"):
            name, body = client.ask(kind, target=target)
            assert name == "error" and body["code"] == "unknown", (target, body)
    assert client.ask("destroy", target="")[1]["code"] == "invalid"
    assert client.ask("list-instances", after="web/nonsense")[1]["code"] == "invalid"
    assert "\x1b" not in city.ok("events").out, "an event must not steer the terminal of who reads it"

    made = client.ask("provision", group="data", count=1, image="tiny", offering="small", user_data=bytes(65536))
    assert made[0] == "accepted", made
    assert client.ask("provision", group="more", count=1, image="tiny", offering="small", user_data=bytes(65537))[1]["code"] == "too-large"
    assert client.ask("scale", request_id="same", group="data", count=2)[0] == "accepted"
    assert client.ask("destroy", request_id="same", target="data")[1]["code"] == "reused"
    assert len(city.wait_running("data", 2)) == 2

    operator = Peer(city, "operator", "oscar")
    for offset in (1, 2**63 - 1, 2**63, -1, 1.5, "0"):
        assert operator.ask("backup", offset=offset)[1]["code"] == "invalid"


def test_ten_thousand_slots_without_room(city):
    """Up and down and up: the others' requests are answered all the while."""
    client, other = Peer(city, "client", "mallory"), Peer(city, "reader", "rita")
    operator = Peer(city, "operator", "oscar")
    assert operator.ask("offering-add", offering=dict(name="mega", vcpus=4096, memory_mib=16, disk_mib=1))[0] == "accepted"
    client.say("provision", request_id="big", group="big", count=10000, image="tiny", offering="mega")
    for n, count in enumerate((0, 10000, 0)):
        client.say("scale", request_id=f"s{n}", group="big", count=count)
        assert other.ask("status")[0] == "status-reply"  # within ask's limit: 10 s, also with sanitizers
    answers = [client.hear()[0] for _ in range(4)]
    assert answers == ["accepted"] * 4
    city.ok("destroy", "big", "--wait")


def test_streams(city):
    broker = city.pid("broker")
    client = Peer(city, "reader", "rita")
    for i in range(1, 1001):
        client.say("subscribe", request_id="s", stream=i, from_=0, credit=1000000)
        client.say("credit", stream=1, credit=1000000)
    assert client.ask("status")[0] == "status-reply"
    refused = [body for name, body in client.heard if name == "error"]
    assert len(refused) == 1000 - 16 and {body["code"] for body in refused} == {"unsupported"}
    client.say("subscribe", request_id="far", stream=2**64 - 1, from_=2**64 - 1, credit=1)
    assert client.hear_until("error")["code"] == "invalid"
    client.close()

    # one that never reads, and replays again and again, costs the broker no more than the kernel's buffer
    operator = Peer(city, "operator", "oscar")
    operator.ask("offering-add", offering=dict(name="mega", vcpus=4096, memory_mib=16, disk_mib=1))
    operator.ask("provision", group="big", count=5000, image="tiny", offering="mega")
    operator.ask("destroy", target="big")
    newest, reader, slow = city.newest(), Peer(city, "reader", "rita"), Peer(city, "reader", "slow", rcvhwm=1)
    before = rss_mib(broker)
    for n in range(1, 9):
        for stream in range(1, 17):
            slow.say("subscribe", request_id="s", stream=stream, from_=0, credit=1000000)
        reader.say("subscribe", request_id="r", stream=n, from_=0, credit=1000000)
        wait_until(lambda: reader.hear_until("events")["next"] > newest, 20, "one who reads is served as ever")
    assert rss_mib(broker) - before < 150
    slow.close()


def test_a_worker_that_speaks_for_others(city):
    evil = Peer(city, "worker", "evil", "WORKER")
    evil.hello()
    epoch = evil.hear_until("welcome")["epoch"]
    theirs = [uuid.UUID(i).bytes for i in city.before]
    for victim in theirs:
        for operation in ("create", "destroy"):
            evil.say("order-result", report_id=2**64 - 1, order_id=2**64 - 1, epoch=epoch, id=victim, operation=operation, code="ok")
        evil.say("fact-death", report_id=2**64 - 1, epoch=epoch, id=victim, how="exited", text="😀" * 128)
    for wrong in (epoch - 1, epoch + 1, 2**64 - 1):
        evil.say("order-result", report_id=1, order_id=1, epoch=wrong, id=theirs[0], operation="create", code="ok")
        evil.hear_until("hello-again")
    evil.say("order-ack", order_id=2**64 - 1, epoch=epoch)
    evil.say("log-tail", ask_id=2**64 - 1, epoch=epoch, code="ok", text=bytes(262144))
    for n in range(5000):
        evil.say("order-result", report_id=n + 1, order_id=n + 1, epoch=epoch, id=os.urandom(16), operation="create", code="ok")
    evil.say("worker-alive", epoch=epoch, guests=0)
    evil.hear_until("alive-ack")
    # an inventory of theirs: it has what is recorded elsewhere, twice, and names that are others' slots
    evil.hello(guests=[dict(id=victim, state="running", name="web/0#1") for victim in theirs] * 2,
               capacity=dict(vcpus=0, memory_mib=0, disk_mib=0), labels={f"l{i}": "x" * 63 for i in range(64)})
    evil.hear_until("welcome")
    assert {r["id"] for r in city.running("web")} == city.before
    assert {r["node"] for r in city.running("web")} == {"node-0", "node-1", "node-2"}


def test_hellos_do_not_fill_the_log(city):
    evil, before = Peer(city, "worker", "evil", "WORKER"), city.newest()
    for n in range(500):
        evil.hello()
    while len(evil.heard) < 500:
        assert evil.hear(), f"{len(evil.heard)} of 500 hellos were answered"
    welcomed = sum(name == "welcome" for name, _ in evil.heard)
    assert 1 <= welcomed <= 40 and {body["code"] for name, body in evil.heard if name == "error"} == {"unavailable"}
    for n in range(500):
        evil.hello(machine_id=f"another-{n}")
        evil.hello(term_seen=2**63 - 1 - n)
    evil.say("worker-alive", epoch=2**64 - 1, guests=0)
    evil.hear_until("hello-again", 20)
    assert city.newest() - before < 200
    assert city.json("status")["term"] == 1, "one worker must not lift the term out of the others' reach"


def test_monitors(city):
    nodes = city.nodes_by_name()
    bogus = Peer(city, "monitor", "bogus")
    for address in ("nonsense", "host:0", "host:99999", "[::1", ":", "a:b:7", "\x1b]0;x"):
        bogus.say("monitor-hello", pulse_address=address)
        assert bogus.hear_until("error")["code"] == "invalid", address
    bogus.say("monitor-verdict", node="node-0", epoch=nodes["node-0"]["epoch"], verdict="failed", evidence="silence")
    assert bogus.hear_until("error")["code"] == "stale", "no verdict without a session"
    bogus.say("monitor-hello", pulse_address="127.0.0.1:9")
    bogus.hear_until("monitor-welcome")
    for node, epoch in (("nobody", 1), ("node-0", nodes["node-0"]["epoch"] + 100), ("node-1", 2**64 - 1)):
        for verdict in ("suspect", "failed", "recovered"):
            bogus.say("monitor-verdict", node=node, epoch=epoch, verdict=verdict, evidence="silence", silent_ms=2**64 - 1, closed_ms=2**64 - 1)
    bogus.ask("status")
    assert {n["state"] for n in city.json("nodes")} == {"ready"}
    # a second one with its key does not take its place, nor does one with the key of the true monitor
    for name in ("bogus", "health-0"):
        twin = Peer(city, "monitor", name)
        twin.say("monitor-hello", pulse_address="127.0.0.1:10")
        body = twin.hear_until("error")
        assert body["code"] == "unavailable" and body["retry"], body
        twin.close()


def test_datagrams_and_silent_connections(city):
    broker = city.pid("broker")
    found = subprocess.run(["ss", "-Hulnp"], capture_output=True, text=True).stdout if os.path.exists("/usr/bin/ss") else ""
    ports = [int(line.split()[3].rsplit(":", 1)[1]) for line in found.splitlines()
             for name in ("health-0", "node-0") if f"pid={city.pid(name)}," in line]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for _ in range(2000):
            for port in ports:
                for data in (b"", b"MFP1", os.urandom(152), b"MFP1\x01\0\0\0\x06node-0" + os.urandom(137), b"MFP1\x02\0\0\0" + b"\xff" * 144):
                    udp.sendto(data, ("127.0.0.1", port))
    before = fds(broker)
    host, port = Peer(city, "client", "mallory").address.removeprefix("tcp://").rsplit(":", 1)
    silent = [socket.create_connection((host, int(port))) for _ in range(500)]
    for connection in silent[::2]:
        connection.send(os.urandom(100))
    assert city.run("status").code == 0
    for connection in silent:
        connection.close()
    wait_until(lambda: fds(broker) < before + 20, 20, "the connections' descriptors are given back")
    assert {n["state"] for n in city.json("nodes")} == {"ready"}


def test_the_store_on_disk(null3):
    """What is not whole is refused, with the row or the reason, and the remedy; and the true store goes on."""
    c = null3
    c.ok(*WEB, "--count", 2, "--wait")
    c.dev("kill", "broker")
    command, db = (c.state / "run" / "broker.cmd").read_text().splitlines(), c.state / "broker" / "broker.db"
    with sqlite3.connect(db) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    whole = db.read_bytes()

    def refused(*words):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and all(word in done.stderr for word in words), (words, done)

    def altered(statement):
        with sqlite3.connect(db) as store:
            store.execute(statement)
        store.close()

    for statement, words in (("DELETE FROM events WHERE seq = 5", ("row 5", "missing", "restore a backup")),
                             ("UPDATE events SET data = x'8161' WHERE seq = 6", ("row 6", "restore a backup")),
                             ("UPDATE events SET type = 'no.such' WHERE seq = 6", ("row 6", "no.such", "newer version")),
                             ("UPDATE events SET cause = 9999 WHERE seq = 6", ("row 6", "cause 9999")),
                             ("UPDATE meta SET value = 99 WHERE key = 'schema'", ("schema 99", "newer version"))):
        altered(statement)
        refused(*words)
        db.write_bytes(whole)
    for content in (whole[:len(whole) // 2], os.urandom(50000)):
        db.write_bytes(content)
        refused("restore a backup")
    db.unlink()
    db.mkdir()
    refused("broker.db")
    db.rmdir()
    db.write_bytes(whole)
    c.dev("start", "broker")
    wait_until(lambda: len(c.running("web")) == 2 and c.run("status").code == 0, 20, "all as it was")


def test_files_and_flags(null3, tmp_path):
    c = null3
    secret = (c.state / "keys" / "admin.cert_secret").read_text()
    public_half, secret_half = (re.search(rf'{half}-key = "(.*)"', secret)[1] for half in ("public", "secret"))
    swapped = secret.replace(public_half, "\0").replace(secret_half, public_half).replace("\0", secret_half)
    good_env = c.env
    for text, mode, word in ((secret[:80], 0o600, "certificate"), (swapped, 0o600, "halves"), (secret, 0o644, "chmod 600"), ("", 0o600, "certificate"),
                             ("x" * 5000000, 0o600, "more than"), (secret.replace(secret_half, secret_half[:39]), 0o600, "40 characters")):
        key = tmp_path / "key"
        key.write_text(text)
        key.chmod(mode)
        c.env = {**good_env, "MAYFLY_KEY": str(key)}
        result = c.run("status")
        assert result.code == 1 and word in result.err, (word, result)
    for address in ("nonsense", "tcp://", "tcp://*:5", "tcp://127.0.0.1:99999"):
        c.env = {**good_env, "MAYFLY_BROKER": address}
        result = c.run("status")
        assert result.code in (1, 2) and "tcp://HOST:PORT" in result.err, result
    c.env = good_env
    bomb = "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    for program in ("mayfly-broker", "mayfly-health", "mayfly-agent"):
        for text in ("key:\n\tx: 1", "key: [1]", bomb, "key: a\nkey: b\n", "\x00\x01", "key: " + "x" * 2000000):
            (tmp_path / "config.yaml").write_text(text)
            done = subprocess.run([f"{os.path.dirname(MAYFLY)}/{program}", "--config", str(tmp_path / "config.yaml")], capture_output=True, text=True, timeout=20)
            assert done.returncode == 2 and program in done.stderr and "Sanitizer" not in done.stderr, (text[:20], done)
    for command in ("status", "groups", "events"):
        for sink in (">&-", ">/dev/full"):
            done = subprocess.run(f"{MAYFLY} {command} {sink}", shell=True, env=c.env, capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and "cannot write the output" in done.stderr, (command, sink, done)
