"""The main job on simulated guests: every process is real, only the hypervisor is not."""
import json
import sqlite3
import subprocess
import pathlib

import pytest

from cluster import MAYFLY, BIN, check_log, kill, processes_with, wait_until

WEB = ["provision", "--group", "web", "--image", "tiny", "--offering", "small"]


def test_provision_scale_destroy(null3):
    c = null3
    c.ok(*WEB, "--count", 6, "--spread", "host", "--label", "tier=front", "--wait")
    rows = c.running("web")
    assert len(rows) == 6
    for key in "id group slot generation state node image offering created_ms cause".split():
        assert key in rows[0], key
    assert sorted(r["slot"] for r in rows) == list(range(6))
    per_node = [sum(r["node"] == n for r in rows) for n in ("node-0", "node-1", "node-2")]
    assert per_node == [2, 2, 2]
    assert {r["id"] for r in rows} == set().union(*(c.null_guests(f"node-{i}") for i in range(3)))

    # the same again is the same; another specification is refused and says what differs
    c.ok(*WEB, "--count", 6, "--spread", "host", "--label", "tier=front")
    refused = c.run(*WEB, "--count", 7, "--spread", "host", "--label", "tier=front")
    assert refused.code == 1 and "exists" in refused.err and "count" in refused.err, refused

    c.ok("scale", "web", 8, "--wait")
    assert len(c.running("web")) == 8
    c.ok("scale", "web", 3, "--wait")
    wait_until(lambda: len(c.instances("web")) == 3, 20, "three left")
    assert sorted(r["slot"] for r in c.running("web")) == [0, 1, 2]

    victim = next(r for r in c.running("web") if r["slot"] == 2)
    c.ok("destroy", "web/2", "--wait")
    reborn = wait_until(lambda: next((r for r in c.running("web") if r["slot"] == 2), None), 20, "web/2 reborn")
    assert reborn["generation"] > victim["generation"] and reborn["id"] != victim["id"]

    c.ok("destroy", "web", "--wait")
    assert c.instances() == [] and c.json("groups") == []
    for i in range(3):
        assert c.null_guests(f"node-{i}") == set()
    check_log(c.events())


def test_node_death_birth_and_return(null3):
    c = null3
    c.ok(*WEB, "--count", 6, "--spread", "host", "--wait")
    before = {r["id"]: r for r in c.running("web")}
    since = c.newest() + 1
    c.dev("kill", "node-1")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["subject"] == "node/node-1" and failed["cause"] == 0
    c.wait_running("web", 6)
    rows = c.running("web")
    assert {r["node"] for r in rows} == {"node-0", "node-2"}
    reborn = [r for r in rows if r["id"] not in before]
    assert len(reborn) == 2
    # the chain of causes: evidence, lost, created, placed, running
    events = {e["seq"]: e for e in c.events()}
    running = next(e for e in events.values() if e["type"] == "instance.running" and e["data"]["id"] == reborn[0]["id"])
    chain, at = [], running
    while True:
        chain.append(at["type"])
        if not at["cause"]:
            break
        at = events[at["cause"]]
    assert chain == ["instance.running", "instance.placed", "instance.created", "instance.lost", "node.failed"], chain
    why = c.ok("why", f"web/{reborn[0]['slot']}").out
    assert "node.failed" in why and "instance.running" in why and "ms" in why, why

    since = c.newest() + 1
    c.dev("start", "node-1")
    wait_until(lambda: c.nodes_by_name()["node-1"]["state"] == "ready", 30, "node-1 ready again")
    assert c.null_guests("node-1") == set()
    assert {r["id"] for r in c.running("web")} == {r["id"] for r in rows}, "a return must not move anything that runs"
    check_log(c.events())


def test_agent_death_replaces_nothing(null3):
    c = null3
    c.ok(*WEB, "--count", 6, "--wait")
    before = {r["id"] for r in c.running("web")}
    epoch = c.nodes_by_name()["node-1"]["epoch"]
    c.dev("kill", "--agent", "node-1")
    wait_until(lambda: (n := c.nodes_by_name()["node-1"])["epoch"] > epoch and n["state"] == "ready", 30, "the agent is back")
    assert {r["id"] for r in c.running("web")} == before
    assert not [e for e in c.events() if e["type"] in ("node.failed", "instance.lost", "instance.died")]


def test_silence_and_thaw(null3):
    c = null3
    c.ok(*WEB, "--count", 6, "--spread", "host", "--wait")
    since = c.newest() + 1
    c.dev("freeze", "node-2")
    (failed,) = c.wait_events("node.failed", 1, since)
    assert failed["data"]["evidence"] == "silence", failed
    wait_until(lambda: len([r for r in c.running("web") if r["node"] != "node-2"]) == 6, 30, "six on the others")
    c.dev("thaw", "node-2")
    wait_until(lambda: c.nodes_by_name()["node-2"]["state"] == "ready", 30, "node-2 is back")
    wait_until(lambda: len(c.instances("web")) == 6, 30, "tombstones are gone")
    assert c.null_guests("node-2") == set(), "what was replaced must not run"
    assert len(c.running("web")) == 6
    check_log(c.events())


def test_a_key_that_comes_late_lets_its_worker_in(null3):
    """The broker refuses a key that it does not have; the agent knocks again by itself once the key is there."""
    c = null3
    certificate, log = c.state / "keys" / "clients" / "node-1.cert", c.state / "log" / "node-1.log"
    aside = c.state / "node-1.cert"
    certificate.rename(aside)
    since = c.newest() + 1
    c.dev("kill", "--agent", "node-1")
    wait_until(lambda: "door stays shut" in log.read_text(errors="replace"), 20, "the broker refuses node-1")
    aside.rename(certificate)
    (joined,) = c.wait_events("node.joined", 1, since)
    assert joined["subject"] == "node/node-1"
    wait_until(lambda: c.nodes_by_name()["node-1"]["state"] == "ready", 20, "node-1 ready again")


def test_guest_death_is_a_fact(null3):
    c = null3
    c.ok(*WEB, "--count", 3, "--spread", "host", "--wait")
    victim = c.running("web")[0]
    since = c.newest() + 1
    root = next((c.state / "nodes" / victim["node"]).rglob("null.sock")).parent
    subprocess.run([str(BIN / "mayfly-null"), "--root", str(root), "--die", victim["id"]], check=True, timeout=20)
    (died,) = c.wait_events("instance.died", 1, since)
    assert died["cause"] == 0 and died["data"]["id"] == victim["id"]
    rows = c.wait_running("web", 3)
    reborn = next(r for r in rows if r["slot"] == victim["slot"])
    assert reborn["generation"] == victim["generation"] + 1
    check_log(c.events())


def test_broker_killed_amid_requests(null3):
    c = null3
    c.ok(*WEB, "--count", 2, "--request-id", "one", "--wait")
    first = c.running("web")
    c.dev("kill", "broker")
    c.dev("start", "broker")
    # the same request_id with the same body is answered alike, with another it is refused as such
    c.ok(*WEB, "--count", 2, "--request-id", "one")
    reused = c.run(*WEB, "--count", 3, "--request-id", "one")
    assert reused.code == 1 and "reused" in reused.err, reused
    assert {r["id"] for r in c.wait_running("web", 2)} == {r["id"] for r in first}

    follower = subprocess.Popen([MAYFLY, *WEB[:2], "db", "--count", "40", *WEB[3:], "--wait"], env=c.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    c.dev("kill", "broker")
    c.dev("start", "broker")
    assert follower.wait(timeout=60) == 0, follower.stderr.read()
    assert len(c.running("db")) == 40
    wait_until(lambda: {n["state"] for n in c.json("nodes")} == {"ready"}, 30, "all nodes ready")
    guests = [g for i in range(3) for g in c.null_guests(f"node-{i}")]
    assert len(guests) == len(set(guests)) == 42
    check_log(c.events())


def test_monitor_lost_turns_status_red(null3):
    c = null3
    assert c.run("status").code == 0
    since = c.newest() + 1
    c.dev("kill", "health-0")
    c.wait_events("monitor.lost", 1, since)
    red = c.run("status")
    assert red.code == 1 and "monitor" in red.out + red.err, red
    c.dev("start", "health-0")
    wait_until(lambda: c.run("status").code == 0, 20, "status green again")


def test_pending_says_why_and_is_placed_when_room_appears(null3):
    c = null3
    c.ok("offering", "add", "huge", "--vcpus", 4096, "--memory-mib", 1024, "--disk-mib", 64)
    c.ok("provision", "--group", "big", "--count", 4, "--image", "tiny", "--offering", "huge")
    wait_until(lambda: len(c.running("big")) == 3, 20, "three fit")
    waiting = [r for r in c.instances("big") if r["state"] == "pending"]
    assert len(waiting) == 1 and "vcpus" in waiting[0]["reason"], waiting
    assert [e for e in c.events("--filter", "instance.pending")], "an event says it too"
    timed_out = c.run("scale", "big", 4, "--wait", "--timeout", 1)
    assert timed_out.code == 1 and "vcpus" in timed_out.err, timed_out
    c.ok("scale", "big", 3, "--wait")
    c.ok("scale", "big", 4)
    c.ok("destroy", "big", "--wait")
    assert c.instances() == []


def test_backup_and_store_refusals(null3):
    c = null3
    c.ok(*WEB, "--count", 3, "--wait")
    target = c.state / "copy.db"
    c.ok("backup", target)
    rows = sqlite3.connect(f"file:{target}?mode=ro", uri=True).execute("select count(*), max(seq) from events").fetchone()
    assert rows[0] == rows[1] > 0
    assert (target.stat().st_mode & 0o777) == 0o600
    # two brokers on one store
    words = (c.state / "run" / "broker.cmd").read_text().split("\n")
    words = [w for w in words if w]
    at = words.index("--pid-file") if "--pid-file" in words else None
    if at is not None:
        del words[at:at + 2]
    second = subprocess.run(words, env=c.env, capture_output=True, text=True, timeout=30)
    assert second.returncode not in (0, -11, -6) and "another" in second.stderr, second


@pytest.mark.parametrize("args,code,words", [
    (["provision", "--group", "web", "--count", "0", "--image", "tiny", "--offering", "small"], (1, 2), "count"),
    (["provision", "--group", "web", "--count", "-3", "--image", "tiny", "--offering", "small"], (1, 2), "count"),
    (["provision", "--group", "web", "--count", "99999999999999999999", "--image", "tiny", "--offering", "small"], (1, 2), "count"),
    (["provision", "--group", "Web_é", "--count", "1", "--image", "tiny", "--offering", "small"], (1, 2), "group"),
    (["provision", "--group", "w" * 300, "--count", "1", "--image", "tiny", "--offering", "small"], (1, 2), "group"),
    (["provision", "--group", "web", "--count", "1", "--image", "nope", "--offering", "small"], (1,), "nope"),
    (["provision", "--group", "web", "--count", "1", "--image", "tiny", "--offering", "nope"], (1,), "nope"),
    (["provision", "--group", "web", "--count", "1", "--image", "tiny", "--offering", "small", "--user-data", "/nonexistent"], (1,), "/nonexistent"),
    (["provision", "--group", "web"], (2,), "--count"),
    (["provision", "--frobnicate"], (2,), "frobnicate"),
    (["frobnicate"], (2,), "frobnicate"),
    (["destroy", "nothing"], (1,), "nothing"),
    (["destroy", "nothing/3"], (1,), "nothing"),
    (["scale", "nothing", "3"], (1,), "nothing"),
    (["instances", "--group", "nothing"], (1,), "nothing"),
    (["logs", "nothing/1"], (1,), "nothing"),
    (["why", "nothing/1"], (1,), "nothing"),
    (["dev", "kill", "node-77"], (1, 2), "node-77"),
    (["image", "add", "x", "--kernel", "/etc/hostname", "--initrd", "/nonexistent"], (1,), ""),
])
def test_bad_input(shared_null, args, code, words):
    c = shared_null
    more = ["--state", c.state] if args[0] == "dev" else []
    result = c.run(*args, *more)
    assert result.code in code and words in result.err, result
    assert c.run("status").code == 0


def test_logs_of_a_driver_without_any_say_so(shared_null):
    c = shared_null
    c.ok("provision", "--group", "mute", "--image", "tiny", "--offering", "small", "--count", 1, "--wait")
    result = c.run("logs", "mute/0")
    assert result.code == 1 and "unsupported" in result.err and "no serial output" in result.err, result
    c.ok("destroy", "mute", "--wait")


@pytest.fixture(scope="module")
def shared_null(request):
    from conftest import make_cluster
    yield from make_cluster(request, "null", 1)


def test_bad_spec_files(shared_null, tmp_path):
    c = shared_null
    good = "group: web\ncount: 2\nimage: tiny\noffering: small\n"
    for text, word in ((good + "colour: red\n", "colour"), (good.replace("2", "two"), "count"), ("group: web\n\tcount: 2\n", "tab"), ("", "")):
        spec = tmp_path / "group.yaml"
        spec.write_text(text)
        result = c.run("apply", "-f", spec)
        assert result.code in (1, 2) and word in result.err and str(spec) in result.err, (text, result)
    too_much = tmp_path / "big"
    too_much.write_bytes(b"x" * 70000)
    result = c.run(*WEB, "--count", 1, "--user-data", too_much)
    assert result.code in (1, 2) and "65536" in result.err, result
    spec.write_text(good)
    c.ok("apply", "-f", spec, "--wait")
    spec.write_text(good.replace("2", "3"))
    c.ok("apply", "-f", spec, "--wait")
    assert len(c.running("web")) == 3
    c.ok("destroy", "web", "--wait")


def test_nobody_answers(shared_null):
    c = shared_null
    result = c.run("--broker", "tcp://127.0.0.1:9", "groups") if False else c.run("groups", "--broker", "tcp://127.0.0.1:9", "--timeout", "1")
    assert result.code == 1 and "127.0.0.1:9" in result.err, result


def test_second_worker_under_one_name(shared_null):
    c = shared_null
    epoch = c.nodes_by_name()["node-0"]["epoch"]
    words = [w for w in (c.state / "run" / "node-0.cmd").read_text().split("\n") if w]
    state_at = words.index("--state") + 1 if "--state" in words else None
    impostor = list(words)
    if "--pid-file" in impostor:
        at = impostor.index("--pid-file")
        del impostor[at:at + 2]
        state_at = impostor.index("--state") + 1
    impostor[state_at] = str(c.state / "impostor")
    impostor += ["--machine-id", "another-machine"]
    since = c.newest() + 1
    process = subprocess.Popen(impostor, env=c.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        (refused,) = c.wait_events("node.refused", 1, since)
        assert "another-machine" in json.dumps(refused["data"])
        assert c.nodes_by_name()["node-0"]["epoch"] == epoch
    finally:
        for pid, _ in processes_with(str(c.state / "impostor")):
            kill(pid)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_with(str(c.state / "impostor")), 10, "the impostor is gone")


def test_a_stranger_with_pyzmq(null3):
    c = null3
    here = pathlib.Path(__file__).resolve().parents[2] / "docs" / "examples" / "python"
    done = subprocess.run(["/usr/bin/python3", str(here / "provision.py"), "--broker", c.env["MAYFLY_BROKER"], "--key", c.env["MAYFLY_KEY"],
                           "--group", "stranger", "--count", "3", "--image", "tiny", "--offering", "small"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    types = [e["type"] for e in c.events()]
    assert types.count("instance.running") == 3 and "group.gone" in types
