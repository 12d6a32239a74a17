#!/usr/bin/env python3
"""Two guests on one disk: one reads blocks at random and times each inside itself, the other writes flat out. The reader's p99 when all is quiet,
beside a neighbour with Mayfly's standard caps, and beside one without any. Both files are written back and thrown out of the host's cache all the
while, as on a host whose memory is full: reads and writes are the disk's.

Prints one JSON object.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/neighbour.py [--seconds 15] [--scratch DIR]"""
import argparse
import base64
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import BIN, Cluster, wait_until  # noqa: E402

READER_MIB, WRITER_MIB = 64, 512
FOUND = re.compile(r"reads=(\d+) p50_us=(\d+) p99_us=(\d+) max_us=(\d+)")
READER = """#!/bin/sh
base64 -d >/root/latency <<'END'
{program}
END
chmod 0755 /root/latency
dd if=/dev/urandom of=/root/megabyte bs=1M count=1 2>/dev/null
for n in $(seq 0 {last}); do dd if=/root/megabyte of=/dev/vda bs=1M seek=$n 2>/dev/null; done
sync
(while :; do /root/latency /dev/vda {mib} {seconds}; done) &
"""
WRITER = """#!/bin/sh
(while :; do dd if=/dev/zero of=/dev/vda bs=1M count={mib} oflag=direct 2>/dev/null; done) &
"""


class Cold(threading.Thread):
    """Keeps a file out of the host's cache."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.fd, self.over = os.open(path, os.O_RDONLY), threading.Event()
        self.start()

    def stop(self):
        self.over.set()
        self.join()
        os.close(self.fd)

    def run(self):
        while not self.over.wait(0.02):
            os.fdatasync(self.fd)
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def disk_of(state, instance):
    return next(state.glob(f"**/instances/{instance}/disk.qcow2"))


def written(pid):
    return int(re.search(r"^wchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text(), re.M).group(1))


def readings(cluster):
    return [tuple(map(int, found)) for found in FOUND.findall(cluster.run("logs", "reader/0", "--bytes", "65536").out)]


def measure(cluster, rounds, seconds):
    """The median of some rounds that begin after this call."""
    since = len(readings(cluster)) + 1  # the one under way began before
    rows = wait_until(lambda: len(r := readings(cluster)) >= since + rounds and r[since : since + rounds], (rounds + 3) * seconds + 60, "the reader has read")
    row = sorted(rows, key=lambda r: r[2])[len(rows) // 2]
    return {"reads": row[0], "p50_us": row[1], "p99_us": row[2], "max_us": row[3]}


def provision(cluster, group, offering, text, scratch):
    script = scratch / f"{group}.sh"
    script.write_text(text)
    cluster.ok("provision", "--group", group, "--count", 1, "--image", "tiny", "--offering", offering, "--ready", "port", "--user-data", script, "--wait",
               timeout=300)
    wait_until(lambda: all(r.get("ready_ms") for r in cluster.running(group)), 180, f"{group} is ready")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster, result, cold = Cluster(state, 1, "libvirt", up_args=["--domain-type", "qemu"]), {"bench": "neighbour", "seconds": options.seconds}, []
    program = base64.encodebytes((BIN.parent / "bench" / "bench-latency").read_bytes()).decode()
    try:
        cluster.up()
        for name, more in (("reader", []), ("capped", []), ("uncapped", ["--uncapped"])):
            cluster.ok("offering", "add", name, "--vcpus", 1, "--memory-mib", 128, "--disk-mib", 1024, *more)
        provision(cluster, "reader", "reader", READER.format(program=program, last=READER_MIB - 1, mib=READER_MIB, seconds=options.seconds), state)
        reader = cluster.running("reader")[0]["id"]
        cold = [Cold(disk_of(state, reader))]
        result["quiet"] = measure(cluster, options.rounds, options.seconds)
        for name in ("capped", "uncapped"):
            provision(cluster, name, name, WRITER.format(mib=WRITER_MIB), state)
            cold.append(Cold(disk_of(state, cluster.running(name)[0]["id"])))
            pid, began = cluster.qemus()[cluster.running(name)[0]["id"]], time.monotonic()
            before = written(pid)
            result[name] = measure(cluster, options.rounds, options.seconds)
            result[name]["writer_mib_s"] = round((written(pid) - before) / 2**20 / (time.monotonic() - began))
            result[name]["p99_ratio"] = round(result[name]["p99_us"] / result["quiet"]["p99_us"], 2)
            cold.pop().stop()
            cluster.ok("destroy", name, "--wait", timeout=120)
        print(json.dumps(result))
    finally:
        for thread in cold:
            thread.stop()
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
