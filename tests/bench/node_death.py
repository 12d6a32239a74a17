#!/usr/bin/env python3
"""A null node with 50 instances dies (or falls silent, with --freeze): until node.failed; from the verdict until every replacement's
order has arrived at its worker. Default settings but for the breaker, four nodes. Prints one JSON object.
  MAYFLY_BIN=build/release/bin tests/bench/node_death.py [--rounds 50] [--freeze]"""
import argparse
import concurrent.futures
import json
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster, wait_until  # noqa: E402
from orders import order_times, percentile  # noqa: E402


def bring_back(cluster, node, word):
    """A node that fails again and again is kept waiting longer each time; an operator's word ends that."""
    def back():
        row = cluster.nodes_by_name()[node]
        if row["state"] == "joining":
            cluster.run("uncordon", node)
        return row["state"] == "ready"

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        started = pool.submit(cluster.dev, word, node)  # returns when the node is ready
        wait_until(back, 60, f"{node} back")
        started.result()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--freeze", action="store_true")
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, 4, "null", settings={"breaker_nodes": 0})  # one of four dies again and again
    verdicts, orders = [], []
    try:
        cluster.up()
        for n in range(-1, options.rounds):  # the first is not counted: after its start the broker gives every node a whole grace
            node, group = f"node-{n % 4}", f"web{n + 1}"
            cluster.ok("provision", "--group", group, "--count", 200, "--image", "tiny", "--offering", "small", "--spread", "host", "--wait", timeout=120)
            there = [r["id"] for r in cluster.running(group) if r["node"] == node]
            since = cluster.newest() + 1
            struck = time.time()
            cluster.dev("freeze" if options.freeze else "kill", node)
            (failed,) = cluster.wait_events("node.failed", 1, since)
            verdicts.append(failed["time_ms"] - struck * 1000)
            cluster.wait_running(group, 200)
            created = {e["data"]["replaces"]: e["data"]["id"] for e in cluster.events("--from", since, "--filter", "instance.created") if e["data"].get("replaces")}
            ordered = order_times(state)
            orders.append(max(ordered[created[old]] for old in there) * 1000 - failed["time_ms"])
            assert len(there) == 50, len(there)
            bring_back(cluster, node, "thaw" if options.freeze else "start")
            cluster.ok("destroy", group, "--wait", timeout=120)
        verdicts, orders = verdicts[1:], orders[1:]
        print(json.dumps({"bench": "node-silence" if options.freeze else "node-death", "rounds": options.rounds, "instances": 50,
                          "failed_ms_p50": round(percentile(verdicts, .5)), "failed_ms_p99": round(percentile(verdicts, .99)), "failed_ms_max": round(max(verdicts)),
                          "ordered_ms_p50": round(percentile(orders, .5), 1), "ordered_ms_p99": round(percentile(orders, .99), 1)}))
    finally:
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
