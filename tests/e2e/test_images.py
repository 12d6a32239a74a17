"""Images that come by URL, from an origin that does everything an origin can do wrong: one copy for all who wait, a clear event for what can't
be had, nothing left behind, and no harm to the births of other images. Null guests: what is fetched is real, who boots it does not matter."""
import hashlib
import os
import shutil
import subprocess
import tempfile

import pytest

from cluster import check_log, wait_until
from conftest import make_cluster
from origin import Cutter, Origin

AGENT = ["--agent-arg=--image-stall-s", "--agent-arg=1", "--agent-arg=--disk-reserve-mib", "--agent-arg=1"]


@pytest.fixture
def origin():
    folder = tempfile.mkdtemp(prefix="mf-origin-", dir="/tmp")
    os.chmod(folder, 0o755)
    server = Origin(folder)
    yield server
    server.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def node(request):
    yield from make_cluster(request, "null", 1, up_args=AGENT)


@pytest.fixture
def nodes2(request):
    yield from make_cluster(request, "null", 2, up_args=AGENT)


@pytest.fixture
def node_with_ca(request, origin):
    yield from make_cluster(request, "null", 1, up_args=[*AGENT, "--agent-arg=--image-ca", f"--agent-arg={origin.ca}"])


def add(c, name, url, digest):
    c.ok("image", "add", name, "--url", url, "--digest", digest, "--disk-format", "raw")


def provision(c, group, image, count=1, *more):
    c.ok("provision", "--group", group, "--image", image, "--offering", "small", "--count", count, *more)


def cache(c, name="node-0"):
    return sorted(path.name for path in (c.state / "nodes" / name / "images" / "sha256").iterdir())


def places(c, name="node-0"):
    folder = c.state / "nodes" / name / "instances"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fails(c, group, image, word, code="image"):
    """Its first birth fails with this code and these words, while the births of a good image go on; then nothing of it is left."""
    since = c.newest() + 1
    provision(c, group, image)
    (failed,) = c.wait_events("instance.failed", 1, since, timeout=90)
    assert failed["data"]["code"] == code and word in failed["data"]["text"], failed
    assert f"image {image}: " in failed["data"]["text"], failed
    c.ok("destroy", group, "--wait")
    return failed["data"]["text"]


def news(c, state):
    return [e for e in c.events("--filter", "node.image") if e["data"]["state"] == state]


def test_fifty_births_one_copy(node, origin):
    c = node
    digest = origin.disk("one", 4)
    add(c, "one", origin.url("slow/one"), digest)
    provision(c, "web", "one", 50, "--wait")
    assert len(c.running("web")) == 50
    ((_, status, sent, _),) = origin.requests("/slow/one")
    assert (status, sent) == (200, 4 << 20)
    assert cache(c) == [digest] and len(places(c)) == 50
    (begun,), (cached,) = news(c, "fetching"), news(c, "cached")
    assert cached["data"]["bytes"] == 4 << 20 and cached["data"]["image"] == "one" and begun["seq"] < cached["seq"]
    c.ok("destroy", "web", "--wait")
    assert places(c) == [] and cache(c) == [digest]
    provision(c, "again", "one", 3, "--wait")  # from the cache
    assert len(origin.requests()) == 1
    check_log(c.events())


def test_what_origins_do_wrong(node, origin):
    c = node
    good = origin.disk("good")
    add(c, "good", origin.url("moved/good"), good)  # redirected once
    provision(c, "good", "good", 2, "--wait")
    digest = origin.disk("file")
    wrong = "0" * 63 + "1"
    for name, url, sha, word in [
            ("missing", origin.url("files/nothing?token=hush"), digest, "404"),
            ("closed", origin.url("closed"), digest, "403"),
            ("wrong", origin.url("files/file"), wrong, "digest"),
            ("page", origin.url("page"), digest, "web page"),
            ("loop", origin.url("loop"), digest, "redirects"),
            ("away", origin.url("away"), digest, "not http")]:
        add(c, name, url, sha)
        text = fails(c, name, name, word)
        assert "http://127.0.0.1" in text and "hush" not in text, text
        assert cache(c) == [good], name
        assert places(c) == sorted(i["id"] for i in c.running("good")), name
    assert "hush" not in "".join(log.read_text() for log in (c.state / "log").glob("node-0*"))
    assert len(c.running("good")) == 2
    provision(c, "more", "good", 2, "--wait")


def test_other_formats_are_refused(node, origin):
    c = node
    folder = origin.dir / "files"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", "-u", folder / "thief", "64M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={origin.dir}/elsewhere", folder / "split", "64M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "bomb", "60T"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "plain", "16M"], check=True)
    for name, form, word in [("thief", "qcow2", "backing file"), ("split", "qcow2", "external data file"),
                             ("bomb", "qcow2", "take a bigger one"), ("plain", "raw", "is qcow2, not raw")]:
        digest = origin.put(name, (folder / name).read_bytes())
        c.ok("image", "add", name, "--url", origin.url(f"files/{name}"), "--digest", digest, "--disk-format", form)
        fails(c, name, name, word)
        assert places(c) == []


def test_a_server_that_dies_midway_and_comes_back(node, origin):
    c = node
    digest = origin.disk("big", 3)
    add(c, "big", origin.url("slow/big"), digest)
    provision(c, "web", "big", 2)
    wait_until(lambda: (parts := cache(c)) and (c.state / "nodes/node-0/images/sha256" / parts[0]).stat().st_size > 1 << 20, 30, "a part")
    origin.kill()
    origin.start()
    c.wait_running("web", 2)
    assert cache(c) == [digest]
    (_, status, sent, ranged), = [r for r in origin.requests("big") if r[1] == 206]
    assert sent < 2 << 20 and ranged.startswith("bytes="), "it went on from where it was"


def test_a_stalled_connection(node, origin):
    c = node
    stalled, good = origin.disk("big", 3), origin.disk("good")
    other = Origin(origin.dir / "other")
    try:
        other.put("good", (origin.dir / "files/good").read_bytes())
        add(c, "big", origin.url("slow/big"), stalled)
        add(c, "good", other.url("files/good"), good)
        provision(c, "web", "big", 2)
        wait_until(lambda: cache(c), 30, "a part")
        origin.hold(True)
        provision(c, "good", "good", 6, "--wait")  # nobody else waits
        assert c.running("web") == []
        wait_until(lambda: "it is tried again" in (c.state / "log/node-0.log").read_text(), 30, "the stall was noticed")
        origin.hold(False)
        c.wait_running("web", 2)
    finally:
        origin.hold(False)
        other.end()
    assert cache(c) == sorted([stalled, good])


def test_an_origin_that_never_answers(node, origin):
    c = node
    digest = origin.disk("one")
    add(c, "one", origin.url("files/one"), digest)
    origin.hold(True)
    try:
        text = fails(c, "web", "one", "in vain")
    finally:
        origin.hold(False)
    assert cache(c) == [] and "tried again" in text


def test_bodies_cut_short(node):
    c = node
    data = os.urandom(1 << 20)
    digest = hashlib.sha256(data).hexdigest()
    cutter, stubborn = Cutter(data, 300 << 10), Cutter(data, 300 << 10, ranges=False)
    try:
        add(c, "cut", f"http://127.0.0.1:{cutter.port}/cut", digest)
        provision(c, "web", "cut", 1, "--wait")  # four answers make one file
        assert cutter.asked == 4
        add(c, "stubborn", f"http://127.0.0.1:{stubborn.port}/cut", "f" * 64)
        fails(c, "stubborn", "stubborn", "in vain")
    finally:
        cutter.end()
        stubborn.end()
    assert cache(c) == [digest]


def test_deleted_at_the_origin_while_births_wait(node, origin):
    c = node
    digest, good = origin.disk("big", 3), origin.disk("good")
    add(c, "big", origin.url("slow/big"), digest)
    add(c, "good", origin.url("files/good"), good)
    provision(c, "web", "big", 3)
    wait_until(lambda: cache(c), 30, "a part")
    origin.kill()
    (origin.dir / "files/big").unlink()
    origin.start()
    since = c.newest() + 1
    (failed,) = c.wait_events("instance.failed", 1, since, timeout=60)
    assert failed["data"]["code"] == "image" and "404" in failed["data"]["text"], failed
    provision(c, "good", "good", 2, "--wait")
    c.ok("destroy", "web", "--wait")
    wait_until(lambda: cache(c) == [good], 10, "nothing of the other is left")


def test_destroyed_while_it_waits(node, origin):
    c = node
    digest = origin.disk("big", 8)
    add(c, "big", origin.url("slow/big"), digest)
    provision(c, "web", "big", 5)
    wait_until(lambda: cache(c), 30, "a part")
    c.ok("destroy", "web", "--wait")
    asked = len(origin.requests("big"))
    wait_until(lambda: len(origin.requests("big")) == 1, 20, "the transfer was broken off")
    assert origin.requests("big")[0][2] < 8 << 20 and asked <= 1
    assert cache(c) == [digest + ".part"] and places(c) == []  # kept a while: the next birth goes on from there
    c.ok("image", "warm", "big", "--all")
    wait_until(lambda: cache(c) == [digest], 60, "warmed")
    assert origin.requests("big")[-1][1] == 206
    provision(c, "web", "big", 1, "--wait")


def test_no_space_midway(node, origin):
    c = node
    digest, small = origin.disk("big", 6), origin.disk("small")
    images = c.state / "nodes/node-0/images"
    shutil.rmtree(images)
    images.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "none", images], check=True)
    try:
        agent = wait_until(lambda: agent_of(c), 10, "the agent")
        os.kill(agent, 9)  # it opens its cache anew
        wait_until(lambda: (images / "sha256").exists() and agent_of(c) not in (None, agent), 30, "another agent")
        add(c, "big", origin.url("slow/big"), digest)
        add(c, "small", origin.url("files/small"), small)
        since = c.newest() + 1
        provision(c, "web", "big", 2)
        wait_until(lambda: cache(c), 60, "a part")
        (images / "junk").write_bytes(bytes(6 << 20))
        (failed,) = c.wait_events("instance.failed", 1, since, timeout=60)
        assert failed["data"]["code"] == "disk-full" and "disk-reserve-mib" in failed["data"]["text"], failed
        provision(c, "small", "small", 2, "--wait")
        assert len(c.running("small")) == 2
        c.ok("destroy", "web", "--wait")
        assert cache(c) == [small], "what did not fit gave its space back"
        (images / "junk").unlink()
        provision(c, "again", "big", 1, "--wait")
    finally:
        c.down()
        subprocess.run(["umount", images], check=True)


def agent_of(c):
    done = subprocess.run(["pgrep", "-P", str(c.pid("node-0")), "-f", "mayfly-agent"], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout.split() else None


def test_warm_nodes(nodes2, origin):
    c = nodes2
    digest = origin.disk("one")
    add(c, "one", origin.url("files/one"), digest)
    c.ok("image", "warm", "one", "--nodes", "node-1")
    wait_until(lambda: cache(c, "node-1") == [digest], 30, "node-1 is warm")
    assert cache(c, "node-0") == []
    c.ok("image", "warm", "one", "--all")
    wait_until(lambda: cache(c, "node-0") == [digest], 30, "node-0 too")
    assert len(origin.requests("one")) == 2


def test_whom_to_believe(node, node_with_ca, origin):
    digest = origin.disk("one")
    for c in (node, node_with_ca):
        add(c, "one", origin.url("files/one", tls=True), digest)
    text = fails(node, "web", "one", "certificate")
    assert "image-ca" in text and cache(node) == []
    provision(node_with_ca, "web", "one", 2, "--wait")
    assert cache(node_with_ca) == [digest]
