"""User-data on real guests: templates, what is refused where, and that nothing which may hold a secret is left in the open."""
import email
import gzip
import json
import os
import pathlib
import sqlite3
import re
import stat
import subprocess

import pytest
import yaml

from cluster import wait_until
from conftest import make_cluster
from peer import Peer

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/user-data"
SECRET = "hunter2-9f3c1d77"
TINY = ["--image", "tiny", "--offering", "small"]


@pytest.fixture
def qemu1(request):
    yield from make_cluster(request, "libvirt", 1, settings={"snapshot_rows": 10})


def script(tmp_path, text, name="user-data"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def files_with(folder, text, without=()):
    """Files below the folder that hold the text, those of these names left out."""
    found = []
    for path in pathlib.Path(folder).rglob("*"):
        try:
            if path.is_file() and path.name not in without and text.encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue  # it went meanwhile
    return found


def blobs(cluster):
    with sqlite3.connect(f"file:{cluster.state}/broker/broker.db?mode=ro", uri=True) as db:
        return [bytes for (bytes,) in db.execute("SELECT bytes FROM blobs")]


def test_a_secret_stays_one(qemu1, tmp_path):
    c = qemu1
    text = f"## template: mayfly\n#!/bin/sh\n# {SECRET}\necho I-am {{{{ name }}}} of {{{{ labels.tier }}}} on {{{{ node }}}}\n"
    c.ok("provision", "--group", "web", "--count", 1, *TINY, "--label", "tier=front", "--user-data", script(tmp_path, text), "--wait", timeout=300)
    (row,) = c.running("web")
    wait_until(lambda: "I-am web/0#1 of front on node-0" in c.run("logs", "web/0").out, 120, "the template was filled in")

    # on the worker: one file, nobody else's to read
    seed = next((c.state / "nodes/node-0").rglob("seed.iso"))
    assert stat.S_IMODE(seed.stat().st_mode) & 0o077 == 0, oct(seed.stat().st_mode)
    assert SECRET.encode() in seed.read_bytes()
    assert files_with(c.state, SECRET) == [str(seed)]

    # a broker that begins again has it out of its store, where it is sealed
    since = c.newest() + 1
    c.dev("kill", "broker")
    assert files_with(c.state, SECRET) == [str(seed)]
    c.dev("start", "broker")
    os.kill(c.qemus()[row["id"]], 9)
    c.wait_events("instance.running", 1, since, timeout=60)
    wait_until(lambda: "I-am web/0#2 of front" in c.run("logs", "web/0").out, 120, "the successor has it, too")
    assert len(blobs(c)) == 2 and all(b[:8] == b"\0MFSEAL1" for b in blobs(c))  # and the one that says there are such

    # nowhere is it told
    told = c.ok("events", "-o", "json").out + c.ok("status").out + c.ok("why", "web/0").out + c.ok("groups", "-o", "json").out
    assert SECRET not in told
    backup = tmp_path / "copy.db"
    c.ok("backup", backup)
    assert SECRET.encode() not in backup.read_bytes() and os.stat(backup).st_size > 0

    c.ok("destroy", "web", "--wait", timeout=120)
    assert files_with(c.state, SECRET) == []


def test_without_its_key_the_broker_changes_nothing(qemu1, tmp_path):
    c = qemu1
    key = c.state / "keys/user-data.secret"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    c.ok("provision", "--group", "web", "--count", 1, *TINY, "--user-data", script(tmp_path, f"#!/bin/sh\necho {SECRET}\n"), "--wait", timeout=300)
    c.dev("kill", "broker")
    before = sorted(blobs(c))
    right = key.read_text()
    key.unlink()
    assert c.run("dev", "start", "broker", "--state", c.state).code != 0
    key.touch(mode=0o600)
    key.write_text("ab" * 32 + "\n")
    assert c.run("dev", "start", "broker", "--state", c.state).code != 0
    said = (c.state / "log/broker.log").read_text()
    assert "user-data.secret, which is not there: put that key back" in said and "sealed with another key" in said
    assert sorted(blobs(c)) == before
    key.write_text(right)
    c.dev("start", "broker")
    assert len(c.wait_running("web", 1)) == 1


def test_what_is_wrong_is_said_and_not_shown(qemu1, tmp_path):
    c = qemu1
    bad = {
        f"#!/bin/sh\n\0{SECRET}": "zero byte",
        f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{SECRET}\n": "MIME, line 5: the text ends within a part",
        f"Content-Type: multipart/mixed\n\n{SECRET}\n": "names no boundary",
        f"## template: mayfly\n{SECRET} {{{{ grop }}}}\n": "line 2: {{ grop }} is no field",
        gzip.compress(bytes(1 << 21)): "more than 1 MiB",
        gzip.compress(SECRET.encode())[:-4]: "cut short",
    }
    for text, why in bad.items():
        result = c.run("provision", "--group", "bad", "--count", 1, *TINY, "--user-data", script(tmp_path, text))
        assert result.code == 1 and why in result.err and SECRET not in result.err, result
    with Peer(c, "operator", "admin") as stranger:  # whoever does not ask our command line is told by the broker
        refused = stranger.ask("provision", group="bad", count=1, image="tiny", offering="small", user_data=f"#!/bin/sh\n\0{SECRET}".encode())
        assert refused[0] == "error" and refused[1]["code"] == "user-data" and SECRET not in refused[1]["text"], refused
    assert c.instances() == []

    # only a birth can know that the group has no such label: its group alone backs off
    since = c.newest() + 1
    c.ok("provision", "--group", "bad", "--count", 3, *TINY, "--user-data",
         script(tmp_path, f"## template: mayfly\n#!/bin/sh\n# {SECRET} {{{{ labels.nope }}}}\n"))
    failed = c.wait_events("instance.failed", 4, since, timeout=60)
    for event in failed:
        assert event["data"]["code"] == "user-data" and "{{ labels.nope }}: the group has no such label" in event["data"]["text"], event
    c.ok("provision", "--group", "good", "--count", 1, *TINY, "--wait", timeout=120)
    types = {e["type"] for e in c.events()}
    assert not types & {"image.halted", "node.quarantined"}
    assert SECRET not in json.dumps(c.events())
    assert files_with(c.state, SECRET) == []
    c.ok("destroy", "bad", "--wait", timeout=60)


def test_the_examples_are_what_they_say(null1, tmp_path):
    c = null1
    parts = [EXAMPLES / "script.sh", EXAMPLES / "ansible-pull.yaml"]
    packed = script(tmp_path, subprocess.run([EXAMPLES / "multipart.sh", *parts], check=True, capture_output=True).stdout, "packed")
    message = email.message_from_bytes(gzip.decompress(packed.read_bytes()))
    assert [part.get_content_type() for part in message.get_payload()] == ["text/x-shellscript", "text/cloud-config"]
    assert [part.get_payload().strip() for part in message.get_payload()] == [part.read_text().strip() for part in parts]
    for path in (packed, *EXAMPLES.glob("*.yaml"), EXAMPLES / "script.sh"):
        if path.suffix == ".yaml":
            text = re.sub(r"{{ [a-z.]+ }}", "x", path.read_text().removeprefix("## template: mayfly\n"))
            assert text.startswith("#cloud-config\n") and isinstance(yaml.safe_load(text), dict), path
        c.ok("provision", "--group", path.stem, "--count", 1, *TINY, "--label", "environment=staging", "--user-data", path, "--wait")
