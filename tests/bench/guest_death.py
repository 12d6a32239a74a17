#!/usr/bin/env python3
"""A QEMU is killed (-9), one at a time on an idle machine: milliseconds until the target worker has the order for its replacement.

Prints one JSON object.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/guest_death.py [--kills 200]"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster, wait_until  # noqa: E402
from orders import order_times, percentile  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, 2, "libvirt")
    killed = {}
    try:
        cluster.up()
        # ten slots in turn, so that none dies again soon after its birth and is held back
        cluster.ok("provision", "--group", "web", "--count", 10, "--image", "tiny", "--offering", "small", "--spread", "host", "--wait", timeout=300)
        wait_until(lambda: all("mayfly: ready" in cluster.run("logs", r["id"]).out for r in cluster.running("web")), 120, "all booted")
        for n in range(options.kills):
            rows = wait_until(lambda: (r := cluster.running("web")) and len(r) == 10 and r, 120, "ten run")
            victim = min(rows, key=lambda row: row.get("running_ms") or row["created_ms"])
            age = time.time() * 1000 - (victim.get("running_ms") or victim["created_ms"])
            if age < 10500:  # not young, so that no back-off applies
                wait_until(lambda: time.time() * 1000 - (victim.get("running_ms") or victim["created_ms"]) > 10500, 20, "the victim is of age")
            pid = cluster.qemus()[victim["id"]]
            killed[victim["id"]] = time.time()
            os.kill(pid, signal.SIGKILL)
            rows = wait_until(lambda: (r := [r for r in cluster.running("web") if r["id"] != victim["id"]]) and len(r) == 10 and r, 60, "reborn")
            # idle again: under emulation a boot keeps a core busy for seconds
            reborn = next(r for r in rows if r["slot"] == victim["slot"])
            wait_until(lambda: "mayfly: ready" in cluster.run("logs", reborn["id"]).out, 60, "its boot is over")
        events = cluster.events("--filter", "instance.created")
        successor = {e["data"]["replaces"]: e["data"]["id"] for e in events if e["data"].get("replaces")}
        ordered = order_times(state)
        took = [(ordered[successor[old]] - at) * 1000 for old, at in killed.items()]
        print(json.dumps({"bench": "guest-death", "kills": len(took), "order_ms_p50": round(percentile(took, .5), 1),
                          "order_ms_p99": round(percentile(took, .99), 1), "max": round(max(took), 1)}))
    finally:
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
