#!/usr/bin/env python3
"""Three null nodes, both cores kept busy by other programs, keepers stopped (SIGSTOP) for 300 ms at random: verdicts of failure must be 0.

Prints one JSON object; exit 0 only if there was no node.failed.
  MAYFLY_BIN=build/release/bin tests/bench/false_verdicts.py [--minutes 10] [--stall-ms 300] [--seed N]"""
import argparse
import json
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--stall-ms", type=float, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    dice = random.Random(options.seed)
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, 3, "null")
    burners, stalls = [], 0
    try:
        cluster.up()
        cluster.ok("provision", "--group", "web", "--count", 6, "--image", "tiny", "--offering", "small", "--wait")
        since = cluster.newest() + 1
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
        keepers = [cluster.pid(f"node-{i}") for i in range(3)]
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            select.select([], [], [], dice.uniform(0.05, 0.6))
            keeper = dice.choice(keepers)
            os.kill(keeper, signal.SIGSTOP)
            select.select([], [], [], options.stall_ms / 1000)
            os.kill(keeper, signal.SIGCONT)
            stalls += 1
        for burner in burners:
            burner.kill()
        events = cluster.events("--from", since)
        count = {kind: sum(e["type"] == kind for e in events) for kind in ("node.failed", "node.suspect", "instance.lost")}
        print(json.dumps({"minutes": options.minutes, "stalls": stalls, "stall_ms": options.stall_ms, "false_verdicts": count["node.failed"],
                          "suspects": count["node.suspect"], "lost": count["instance.lost"]}))
        return 0 if count["node.failed"] == 0 else 1
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
