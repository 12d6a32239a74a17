#!/usr/bin/env python3
"""The QEMU of a slot is killed (-9) while a spare of its group is well: milliseconds until slot.promoted is received by a follower of the stream.

Prints one JSON object.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/spare.py [--kills 100]"""
import argparse
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import MAYFLY, Cluster, wait_until  # noqa: E402
from orders import percentile  # noqa: E402

MEMBERS, SPARES = 4, 2
OF_AGE_S = 10.5  # who dies younger is held to have died at once, which is another matter


def follow(cluster, came):
    process = subprocess.Popen([MAYFLY, "events", "--follow", "--from", str(cluster.newest() + 1), "--filter", "slot.promoted", "-o", "json"],
                               env=cluster.env, stdout=subprocess.PIPE, text=True)

    def read():
        for line in process.stdout:
            came.put((time.time(), json.loads(line)))

    threading.Thread(target=read, daemon=True).start()
    return process


def full(cluster):
    row = next(g for g in cluster.json("groups") if g["group"] == "web")
    return row["running"] == MEMBERS and row.get("spares_running") == SPARES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster, came, took, follower = Cluster(state, 3, "libvirt"), queue.Queue(), [], None
    try:
        cluster.up()
        cluster.ok("provision", "--group", "web", "--count", MEMBERS, "--spares", SPARES, "--image", "tiny", "--offering", "small", "--ready", "port",
                   "--spread", "host", "--wait", timeout=300)
        follower = follow(cluster, came)
        for _ in range(options.kills):
            wait_until(lambda: full(cluster), 120, "all run and are ready")
            rows = [r for r in cluster.running("web") if not r.get("spare")]
            victim = min(rows, key=lambda r: r["running_ms"])
            wait_until(lambda: time.time() - victim["running_ms"] / 1000 > OF_AGE_S, 20, "the victim is of age")
            pid, struck = cluster.qemus()[victim["id"]], time.time()
            os.kill(pid, signal.SIGKILL)
            at, event = came.get(timeout=30)
            assert event["data"]["replaces"] == victim["id"], event
            took.append((at - struck) * 1000)
        print(json.dumps({"bench": "spare", "kills": len(took), "promoted_ms_p50": round(percentile(took, .5), 1),
                          "promoted_ms_p99": round(percentile(took, .99), 1), "max": round(max(took), 1)}))
    finally:
        if follower:
            follower.kill()
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
