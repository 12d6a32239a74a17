"""Placement as an operator asks for it and asks about it: rules, place --explain, capacity, plan. Simulated guests, four nodes in two racks."""
import json
import os

import pytest

from cluster import wait_until
from conftest import make_cluster

WEB = ["--image", "tiny", "--offering", "small"]
HEADER = "offering,count,at_s,life_s\n"


@pytest.fixture(scope="module")
def c(request):
    """One cluster for all: most of these only ask."""
    yield from make_cluster(request, "null", 4, racks=2)


def rack(node):
    return f"r{int(node.rsplit('-', 1)[1]) % 2}"


def births(c, *step):
    return c.json("plan", *step)["placements"]


def refused(result, *words):
    assert result.code in (1, 2), result
    assert all(word in result.err for word in words), result


def test_rules_hold_and_are_shown(c):
    c.ok("provision", "--group", "web", "--count", 2, *WEB, "--spread-by", "rack", "--max-skew", 1, "--priority", 0, "--wait")
    c.ok("provision", "--group", "db", "--count", 1, *WEB, "--apart", "web", "--policy", "at-most", "--wait")
    by_rack = [rack(i["node"]) for i in c.running("web")]
    assert by_rack.count("r0") == by_rack.count("r1") == 1
    assert c.running("db")[0]["node"] not in [i["node"] for i in c.running("web")]
    rules = next(g for g in c.json("groups") if g["group"] == "web")["rules"]
    assert rules["spread_by"] == "rack" and rules["max_skew"] == 1 and rules["priority"] == 0 and not rules["apart"]
    assert "spread_by=rack" in c.ok("groups").out and "apart=web" in c.ok("groups").out
    assert "CELLS" in c.ok("nodes").out and "RATIO" in c.ok("nodes").out
    refused(c.run("provision", "--group", "bad", "--count", 1, *WEB, "--spread-by", "rack", "--pack-by", "rack"), "spread_by")
    refused(c.run("provision", "--group", "bad", "--count", 1, *WEB, "--require", "rack=r0", "--forbid", "rack=r0"), "rack")


def test_explain_tells_of_every_node(c):
    told = c.json("place", "--explain", "web")
    assert told["nodes"] == 4 and told["candidates"] == 3 and told["refusals"] == [{"refusal": "apart", "nodes": 1}]  # db's
    levels = [row["level"] for row in told["rows"]]
    assert levels[:3] == sorted(levels[:3]) and levels[3] is None and len(told["rows"]) == 4 and told["fit"]
    told = c.json("place", "--explain", "--offering", "small", "--require", "rack=r1", "--rows", 3)
    assert told["candidates"] == 2 and len(told["rows"]) == 3
    assert {rack(row["node"]) for row in told["rows"] if not row["refusal"]} == {"r1"}
    assert told["refusals"] == [{"refusal": "labels", "nodes": 2}]
    by_hand = c.ok("place", "--explain", "--offering", "small", "--forbid", "rack=r1").out
    assert "2 of 4 nodes could take it: 2 forbidden" in by_hand and "node-0" in by_hand
    alone = c.json("place", "--explain", "--offering", "small", "--apart", "web")
    free = {n for n in c.nodes_by_name()} - {i["node"] for i in c.running("web")}
    assert {row["node"] for row in alone["rows"] if not row["refusal"]} == free
    one = c.running("web")[0]
    for target in (f"web/{one['slot']}", one["id"]):
        assert c.json("place", "--explain", target)["candidates"] == 3
    refused(c.run("place", "--explain", "nobody"), "nobody")
    refused(c.run("place", "--explain", "web/77"), "web/77")
    refused(c.run("place", "--explain", "--offering", "nothing"), "nothing")
    refused(c.run("place", "--explain", "--offering", "small", "--image", "nothing"), "nothing")
    refused(c.run("place", "--explain", "--offering", "small", "--spread-by", "zone"), "zone")
    refused(c.run("place", "web"), "--explain")


def test_capacity_is_what_fits(c):
    c.ok("offering", "add", "half", "--vcpus", 2100, "--memory-mib", 16, "--disk-mib", 1)
    rows = {row["offering"]: row for row in c.json("capacity")["rows"]}
    assert rows["half"]["fit"] == 4 and rows["half"]["nodes"] == 4
    c.ok("provision", "--group", "halves", "--count", 3, "--image", "tiny", "--offering", "half", "--wait")
    rows = {row["offering"]: row for row in c.json("capacity")["rows"]}
    assert rows["half"]["fit"] == 1 and rows["half"]["nodes"] == 1
    assert rows["half"]["fit_headroom"] in (None, 0)
    assert "half" in c.ok("capacity").out
    c.ok("provision", "--group", "more", "--count", 2, "--image", "tiny", "--offering", "half")
    told = c.json("place", "--explain", "more")
    assert told["candidates"] == 0 and told["refusals"] == [{"refusal": "vcpus", "nodes": 4}]
    assert "0 of 4 nodes: 4 vcpus" in next(i for i in c.instances("more") if i["state"] == "pending")["reason"]
    c.ok("destroy", "more", "--wait")
    c.ok("destroy", "halves", "--wait")


def test_plan_says_what_would_happen(c):
    before = {i["id"]: i["node"] for i in c.running()}
    lost = births(c, "--lose", "rack=r0")
    assert sum(b["group"] == "web" for b in lost) == 1
    assert all(rack(b["from"]) == "r0" and rack(b["node"]) == "r1" for b in lost)
    victim = c.running("db")[0]["node"]
    (moved,) = births(c, "--drain", victim)
    assert moved["group"] == "db" and moved["from"] == victim and moved["node"] not in (victim, *(i["node"] for i in c.running("web")))
    answer = c.json("plan", "--add", "3:node-0:rack=r9", "--lose-node", "node-0,node-2")
    assert [step["what"] for step in answer["steps"]] == ["add 3:node-0:rack=r9", "lose-node node-0,node-2"]
    assert answer["before"]["nodes"] == 4 and answer["after"]["nodes"] == 7 and answer["after"]["nodes_schedulable"] == 5
    assert any(b["node"].startswith("node-0-plan") for b in answer["placements"])
    table = c.ok("plan", "--lose", "rack=r0", "--lose", "rack=r1", "--rows", 0).out
    assert "0 of 4 nodes take births" in table and "more births" in table and "0 of 4 nodes: 4 failed" in table
    assert {i["id"]: i["node"] for i in c.running()} == before  # nothing of it happened


def test_plan_plays_requests_and_old_copies(c, tmp_path):
    file, copy = tmp_path / "requests.csv", tmp_path / "copy.db"
    file.write_text("offering,count,at_s,life_s,group\nhalf,3,0,60,\nhalf,2,10,60,\nsmall,1,20,,web\n")
    c.ok("backup", copy)
    told = c.json("plan", "--store", copy, "--requests", file)["requests"][0]
    assert (told["instances"], told["placed_at_once"], told["placed_later"], told["never_placed"]) == (6, 5, 1, 0)
    assert 49 < told["longest_wait_s"] < 51
    assert told["rows"][2]["group"] == "web" and told["rows"][2]["placed"] == 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("copy.db")] == ["copy.db"]
    for text, words in (("", "no request"), (HEADER + "half,1,5,-1\n", ":2: life_s: -1 is negative"), (HEADER + "half,1,5,1\nhalf,1,4,1\n", ":3: at_s"),
                        (HEADER + "half,1,,1\n", ":2: at_s is empty"), (HEADER + "whole,1,0,1\n", ":2: there is no offering whole")):
        file.write_text(text)
        refused(c.run("plan", "--store", copy, "--requests", file), words)


def test_plan_refuses_what_it_cannot_play(c, tmp_path):
    refused(c.run("plan"), "--drain")
    refused(c.run("plan", "--drain", "node-9"), "node-9")
    refused(c.run("plan", "--drain", "node-1", "--placement-policy", "worst"), "worst")
    refused(c.run("plan", "--drain", "node-1", "--placement-weights", "nan"), "nan")
    refused(c.run("plan", "--drain", "node-1", "--placement-weights", "1e300"), "1e+300")
    refused(c.run("plan", "--requests", os.fsdecode(b"\xff.csv")), "UTF-8")
    refused(c.run("plan", "--lose", "rack=r7"), "r0, r1")
    refused(c.run("plan", "--lose", "zone=a"), "zone")
    refused(c.run("plan", "--ratio", "standard=0"), "CLASS=PERCENT")
    refused(c.run("plan", "--add", "2:node-9"), "node-9")
    other = tmp_path / "other.db"
    other.write_text("nothing of the kind\n" * 100)
    refused(c.run("plan", "--store", other, "--drain", "node-1"), "not a database")
    refused(c.run("plan", "--store", c.state / "broker" / "broker.db", "--drain", "node-1"), "its broker runs")
    refused(c.run("plan", "--store", tmp_path / "none", "--drain", "node-1"), "No such file")


def test_headroom_is_kept_by_word(c):
    accepted = json.loads(c.ok("headroom", "rack", "-o", "json").out)
    assert accepted["seq"] > 0
    assert c.json("capacity")["headroom"] == "rack"
    assert "any one rack" in c.ok("capacity").out
    wait_until(lambda: not c.json("capacity")["unprotected"], 10, "everything has a backup")
    kept = {row["offering"]: row for row in c.json("capacity")["rows"]}["half"]
    assert 0 < kept["fit_headroom"] < kept["fit"]  # half of the nodes must be able to take what is on the other half
    c.ok("headroom", "off")
    assert not c.json("capacity")["headroom"]
    refused(c.run("headroom", "rack=r1"), "rack=r1")
