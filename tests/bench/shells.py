#!/usr/bin/env python3
"""Births from shells on one worker with real guests. Each prints one JSON object.

  birth     first the birth of a kind that the worker never saw, which is an ordinary create, then one of the same kind from the shell
            that it made since: milliseconds in the agent, from the order's arrival until the guest's CPU was let run
  thousand  births and deaths: what is left of them - files, domains, descriptors, memory of agent and keeper

  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/shells.py birth [--rounds 30] | thousand [--births 1000]"""
import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster, cmdline, processes_with, wait_until  # noqa: E402
from orders import percentile  # noqa: E402


def took_ms(cluster):
    """{instance id: milliseconds} of the births that the worker logged."""
    found = {}
    for line in (cluster.state / "log" / "node-0.log").read_text(errors="replace").splitlines():
        if 'msg="guest runs"' in line:
            found[re.search(r"\bid=(\S+)", line).group(1)] = int(re.search(r"took_ms=(\d+)", line).group(1))
    return found


def offer(cluster, name, memory_mib):
    cluster.ok("offering", "add", name, "--vcpus", 1, "--memory-mib", memory_mib, "--disk-mib", 16)


def bear(cluster, group, count, offering):
    cluster.ok("provision", "--group", group, "--count", count, "--image", "tiny", "--offering", offering, "--wait", timeout=600)
    return {row["id"]: cluster.qemus()[row["id"]] for row in cluster.running(group)}


def end(cluster, *groups):
    for group in groups:
        cluster.ok("destroy", group, "--wait", timeout=600)


def from_shell(pids):
    return sum("guest=mayfly-shell-" in cmdline(pid) for pid in pids)


def has_memory(pids, mib):
    return any(f" -m {mib} " in cmdline(pid) for pid in pids)


def birth(cluster, rounds):
    plain, shell = [], []
    for n in range(rounds):
        offer(cluster, f"kind-{n}", 100 + n)
        (first,) = bear(cluster, f"a-{n}", 1, f"kind-{n}")
        wait_until(lambda: cluster.idle_shells("node-0") == 1 and has_memory(cluster.shells(), 100 + n), 120, "a shell of that kind")
        end(cluster, f"a-{n}")
        born = bear(cluster, f"b-{n}", 1, f"kind-{n}")
        (second,) = born
        assert from_shell(born.values()) == 1
        end(cluster, f"b-{n}")
        times = took_ms(cluster)
        plain.append(times[first])
        shell.append(times[second])
    result = {"bench": "shell-birth", "rounds": rounds}
    for name, values in (("create", plain), ("shell", shell)):
        result |= {f"{name}_ms_p50": percentile(values, .5), f"{name}_ms_p90": percentile(values, .9)}
    return result | {"ratio_p50": round(result["create_ms_p50"] / max(result["shell_ms_p50"], .5), 1)}


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def measure(cluster):
    keeper = cluster.pid("node-0")
    (agent,) = [pid for pid, line in processes_with(f"{cluster.state}/nodes/node-0") if line.split()[0].endswith("/mayfly-agent")]
    return {"files": sum(1 for p in (cluster.state / "nodes").rglob("*") if not p.is_dir()),
            "guests": len(cluster.qemus()), "shells": len(cluster.shells()),
            "fds": sum(len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())) for pid in (agent, keeper)),
            "agent_kib": rss_kib(agent), "keeper_kib": rss_kib(keeper)}


def calm(cluster, each):
    wait_until(lambda: cluster.idle_shells("node-0") == each and not cluster.qemus(), 300, "the shells are there again")
    return measure(cluster)


def thousand(cluster, births, each):
    offer(cluster, "mite", 64)
    born = shells = 0
    before = None
    began = time.monotonic()
    while born < births:
        group = f"g-{born}"
        guests = bear(cluster, group, min(each, births - born), "mite")
        born += len(guests)
        shells += from_shell(guests.values())
        end(cluster, group)
        now = calm(cluster, each)
        if before is None and born >= births / 10:  # what the first ones make it keep for good has been taken by now
            before = now
        if born % 100 < each:
            print(born, now, file=sys.stderr)
    took = time.monotonic() - began
    return {"bench": "thousand", "births": born, "from_shells": shells, "seconds": round(took),
            **{f"left_{key}": now[key] - before[key] for key in ("files", "guests", "fds")},
            **{f"{key}_growth": now[key] - before[key] for key in ("agent_kib", "keeper_kib")},
            "agent_kib": now["agent_kib"], "keeper_kib": now["keeper_kib"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("birth", "thousand"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--births", type=int, default=1000)
    options = parser.parse_args()
    each = 1 if options.what == "birth" else 8
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, 1, "libvirt", up_args=[f"--agent-arg={word}" for word in ("--shells", each, "--shells-max", each)])
    try:
        cluster.up()
        print(json.dumps(birth(cluster, options.rounds) if options.what == "birth" else thousand(cluster, options.births, each)))
    finally:
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
