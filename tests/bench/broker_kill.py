#!/usr/bin/env python3
"""The broker is killed (-9) and started again KILLS times while REQUESTS provisions and destroys run, on the null driver.

Nothing may be lost (every acknowledged provision runs, every acknowledged destroy is gone), nothing doubled (no guest twice, no slot
twice), nothing left over. Prints one JSON object; exit 0 only if all three are 0.
  MAYFLY_BIN=build/release/bin tests/bench/broker_kill.py [--requests 1000] [--kills 50]"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import MAYFLY, Cluster, check_log, wait_until  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, 3, "null")
    began = time.monotonic()
    errors, kept, ended, done = [], set(), set(), [0]
    lock = threading.Lock()
    try:
        cluster.up()
        numbers = iter(range(options.requests // 2))

        def client():
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None:
                    return
                group = f"g{n}"
                made = subprocess.run([MAYFLY, "provision", "--group", group, "--count", "2", "--image", "tiny", "--offering", "small",
                                       "--request-id", f"p{n}"], env=cluster.env, capture_output=True, text=True, timeout=120)
                if made.returncode:
                    errors.append(made.stderr)
                if n % 2:
                    with lock:
                        kept.add(group)
                        done[0] += 2
                    # a second request of another kind, so that as many requests are made
                    subprocess.run([MAYFLY, "scale", group, "2", "--request-id", f"s{n}"], env=cluster.env, capture_output=True, timeout=120)
                    continue
                gone = subprocess.run([MAYFLY, "destroy", group, "--request-id", f"d{n}"], env=cluster.env, capture_output=True, text=True, timeout=120)
                if gone.returncode:
                    errors.append(gone.stderr)
                with lock:
                    ended.add(group)
                    done[0] += 2

        threads = [threading.Thread(target=client) for _ in range(options.workers)]
        for thread in threads:
            thread.start()
        kills = 0
        while kills < options.kills:
            target = options.requests * kills // options.kills
            wait_until(lambda: done[0] >= target or not any(t.is_alive() for t in threads), 300, "requests go on")
            cluster.dev("kill", "broker")
            cluster.dev("start", "broker")
            kills += 1
        for thread in threads:
            thread.join()

        wait_until(lambda: {n["state"] for n in cluster.json("nodes")} == {"ready"}, 60, "all nodes ready")
        wait_until(lambda: len(cluster.running()) == 2 * len(kept) == len(cluster.instances()), 120, "all that is kept runs, and nothing else")
        rows = cluster.running()
        slots = {(r["group"], r["slot"]) for r in rows}
        guests = [g for i in range(3) for g in cluster.null_guests(f"node-{i}")]
        wanted = {(g, s) for g in kept for s in (0, 1)}
        report = {"requests": options.requests, "kills": kills, "seconds": round(time.monotonic() - began, 1), "refused_or_failed": len(errors),
                  "lost": len(wanted - slots), "doubled": len(rows) - len(slots) + len(guests) - len(set(guests)),
                  "left_over": len(slots - wanted) + len(set(guests) - {r["id"] for r in rows})}
        check_log(cluster.events())
        print(json.dumps(report))
        if errors:
            print(errors[0], file=sys.stderr)
        return 0 if report["lost"] == report["doubled"] == report["left_over"] == report["refused_or_failed"] == 0 else 1
    finally:
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
