#!/usr/bin/python3
"""Real partitions of real QEMU under `at-most`: nodes in network namespaces are cut off (nft) and joined again, round after round,
while an outside checker, which asks neither broker nor libvirt, looks every 20 ms at what truly runs.

Most rounds cut a node off from all until its slots are reborn elsewhere; some heal early, some cut only the broker's link for longer
than a lease. Prints one JSON object; exit 0 only if no two generations of a slot ever ran at once and every round ended well.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/partitions.py [--rounds 100] [--lease MS] [--seed N]"""
import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import netns  # noqa: E402
from cluster import Cluster, check_log, processes_with, wait_until  # noqa: E402
from orders import order_times, percentile  # noqa: E402
from outside import Outside  # noqa: E402

NODES = 3
KINDS = {"isolate": 7, "early": 2, "broker": 1}  # and how often each


class Rounds:
    def __init__(self, cluster, net, dice, lease_ms):
        self.c, self.net, self.dice, self.lease_ms = cluster, net, dice, lease_ms
        self.cut_at = {}  # instance that was cut off: when
        self.done = dict.fromkeys(KINDS, 0)

    def whole(self):
        """All run, on nodes that are ready."""
        rows, nodes = self.c.running("web"), self.c.json("nodes")
        for node in nodes:
            if node["state"] == "joining" and node.get("flaps", 2) > 1:
                self.c.run("uncordon", node["name"])  # its return is delayed, since it fails again and again; an operator's word ends that
        return len(rows) == NODES and all(n["state"] == "ready" and n["connected"] for n in nodes) and rows

    def play(self):
        rows = wait_until(self.whole, 180, "three run, and all nodes are ready")
        victim = self.dice.choice(sorted({r["node"] for r in rows}))
        kind = self.dice.choices(list(KINDS), KINDS.values())[0]
        since = self.c.newest() + 1
        getattr(self, kind)(victim, [r for r in rows if r["node"] == victim], since)
        self.done[kind] += 1
        print(f"{kind:8} {victim}", file=sys.stderr, flush=True)

    def isolate(self, victim, there, since):
        for row in there:
            self.cut_at[row["id"]] = time.time()
        self.net.isolate(victim)
        self.c.wait_events("node.failed", 1, since, timeout=60)
        wait_until(lambda: len([r for r in self.c.running("web") if r["node"] != victim]) == NODES, self.lease_ms / 1000 + 120, "reborn elsewhere")
        self.net.heal_all()

    def early(self, victim, there, since):
        left = max(0, self.dice.uniform(-0.1, 0.8) * self.lease_ms)
        self.net.isolate(victim)
        wait_until(lambda: self.lease_left(victim) <= left, self.lease_ms / 1000 + 30, "that little is left of its lease")
        self.net.heal_all()

    def broker(self, victim, there, since):
        self.net.cut(victim, "broker")
        wait_until(lambda: not any(processes_with(row["id"]) for row in there), self.lease_ms / 1000 + 30, "its keeper ended them")
        self.net.heal_all()

    def lease_left(self, node):
        """Milliseconds; the row says none when it is over."""
        return next(row["lease_ms"] or 0 for row in self.c.json("nodes") if row["node"] == node)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--lease", type=int, default=10000, help="lease_ms of the broker")
    parser.add_argument("--policy", default="at-most", help="at-least shows that the checker sees what it must")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    why = netns.missing()
    if why:
        print(f"no network namespaces here: {why}", file=sys.stderr)
        return 2
    print(f"seed {options.seed}", file=sys.stderr)
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, NODES, "libvirt", netns=True, settings={} if options.lease == 10000 else {"lease_ms": options.lease, "renew_ms": max(200, options.lease // 5)})
    outside = net = None
    try:
        cluster.up()
        net = netns.Net(cluster)
        outside = Outside(cluster, told_ms=30000)
        cluster.ok("provision", "--group", "web", "--count", NODES, "--image", "tiny", "--offering", "small", "--spread", "host", "--policy", options.policy,
                   "--label", "beat=on", "--wait", timeout=300)
        rounds = Rounds(cluster, net, random.Random(options.seed), options.lease)
        for _ in range(options.rounds):
            rounds.play()
        wait_until(rounds.whole, 180, "three run, and all nodes are ready, at the end")
        wait_until(lambda: set(cluster.qemus()) == {r["id"] for r in cluster.running("web")}, 60, "only what the broker knows runs")
        events = cluster.events()
        check_log(events)
        verdict = outside.judge(events)
        successor = {e["data"]["replaces"]: e["data"]["id"] for e in events if e["type"] == "instance.created" and e["data"].get("replaces")}
        ordered = order_times(state)
        took = [(ordered[successor[old]] - at) * 1000 for old, at in rounds.cut_at.items() if successor.get(old) in ordered]
        bound = options.lease + options.lease // 100 + 500 + 200
        print(json.dumps({"bench": "partitions", "policy": options.policy, "rounds": rounds.done, "lease_ms": options.lease, "overlaps": verdict["overlaps"],
                          "doubled_ms": verdict["doubled_ms"], "ordered_ms_p50": round(percentile(took, .5)) if took else None,
                          "ordered_ms_p99": round(percentile(took, .99)) if took else None, "ordered_ms_max": round(max(took)) if took else None, "bound_ms": bound,
                          **{k: verdict[k] for k in ("sweeps", "longest_gap_ms", "seen", "beating", "I2", "I3", "I5", "I7", "told")}}))
        return 0 if outside.process.returncode == 0 else 1
    except BaseException:
        print(f"what is left to read is in {state}", file=sys.stderr)
        for words in (["status"], ["nodes"], ["instances"], ["events"]):
            print("\n".join(cluster.run(*words).out.splitlines()[-60:]), file=sys.stderr)
        state = None
        raise
    finally:
        if outside:
            outside.stop()
        cluster.down()
        if net:
            netns.sweep(net.subnet)
        if state:
            shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
