#!/usr/bin/env python3
"""Resident memory: keeper; agent with libvirt embedded and ten guests; broker with INSTANCES instances. Prints one JSON object.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/memory.py [--instances 10000]"""
import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster, cmdline, wait_until  # noqa: E402


def rss_mib(pid):
    return round(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024, 1)


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=10000)
    options = parser.parse_args()
    report = {"bench": "memory"}
    for driver, nodes, count in (("libvirt", 1, 10), ("null", 4, options.instances)):
        state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
        room = ["--agent-arg=--vcpus", "--agent-arg=64"] if driver == "libvirt" else []
        cluster = Cluster(state, nodes, driver, up_args=room)
        try:
            cluster.up()
            cluster.ok("provision", "--group", "web", "--count", count, "--image", "tiny", "--offering", "small",
                       "--wait", "--timeout", 600, timeout=700)
            keeper = cluster.pid("node-0")
            agent = next(p for p in children(keeper) if "mayfly-agent" in cmdline(p))
            if driver == "libvirt":
                wait_until(lambda: rss_mib(agent) > 0, 5, "agent")
                report.update(keeper_mib=rss_mib(keeper), agent_libvirt_10_guests_mib=rss_mib(agent))
            else:
                report.update(instances=count, broker_mib=rss_mib(cluster.pid("broker")), agent_null_mib=rss_mib(agent))
        finally:
            cluster.down()
            shutil.rmtree(state, ignore_errors=True)
    print(json.dumps(report))


if __name__ == "__main__":
    sys.exit(main())
