#!/usr/bin/env python3
"""What only a crowd shows: mayfly-swarm's nodes against a broker and a monitor of their own.

  false-verdicts   1000 nodes, 20 % of datagrams lost, each node still for 500 ms now and then, both cores kept busy: no verdict of failure may be
                   false; nodes cut off meanwhile, one by one, must be found
  mass-loss        1000 of 5000 nodes lost at once, 20 instances each: until every replacement is placed, durable and ordered; then the log is checked

Prints one JSON object; exit 0 only if the bench's own target is met.
  MAYFLY_BIN=build/release/bin tests/bench/swarm.py mass-loss [--nodes 5000] [--lose 1000] [--each 20]"""
import argparse
import json
import os
import pathlib
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster, check_log, wait_until  # noqa: E402


class Swarm(Cluster):
    """The crowd, and the command line beside it."""

    def __init__(self, nodes, broker_args="", **options):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
        super().__init__(self.scratch / "state", nodes, "null")
        program = pathlib.Path(os.environ["MAYFLY_BIN"]).parent / "bench" / "mayfly-swarm"
        args = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        self.process = subprocess.Popen([program, "--state", self.state, "--nodes", str(nodes), "--broker-args", broker_args, *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = self.measure("open")
        self.env.update(MAYFLY_BROKER=opened["client"], MAYFLY_KEY=opened["key"])
        self.joined = self.measure("joined")

    def measure(self, what):
        line = self.process.stdout.readline()
        assert line, f"the swarm ended; see {self.state}/log"
        told = json.loads(line)
        assert told["measure"] == what, told
        return told

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command, what):
        self.say(command)
        return self.measure(what)

    def stock(self, offering):
        root = os.environ["MAYFLY_IMAGE_ROOT"]
        self.ok("image", "add", "tiny", "--kernel", "tiny/vmlinuz", "--initrd", "tiny/initrd", "--image-root", root)
        self.ok("offering", "add", "small", *offering)

    def runs(self, count):
        """So many instances run; a broker that is too busy to say is asked again."""
        result = self.run("status", "-o", "json")
        return result.out.startswith("{") and json.loads(result.out)["running"] == count

    def end(self, keep=False):
        self.say("quit")
        self.process.wait(timeout=120)
        if keep:
            print(f"kept: {self.scratch}", file=sys.stderr)
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))] if values else None


def replaced_once(events, since):
    """Of the rows from `since` on: (lost, replaced) and the assertion that no loss has two successors."""
    lost = {e["data"]["id"] for e in events if e["seq"] >= since and e["type"] == "instance.lost"}
    replaces = [e["data"]["replaces"] for e in events if e["seq"] >= since and e["type"] == "instance.created" and e["data"].get("replaces")]
    assert len(replaces) == len(set(replaces)), "an instance was replaced twice"
    return len(lost), len(lost & set(replaces))


# ------------------------------------------------------------------ mass-loss

def mass_loss(options):
    room = 2 * options.each
    swarm = Swarm(options.nodes, options.breaker_args + " " + options.broker_args, vcpus=room, memory_mib=room * 64,
                  disk_mib=room * 64, racks=50, seed=options.seed)
    try:
        swarm.stock(["--vcpus", "1", "--memory-mib", "64", "--disk-mib", "64"])
        total, began = options.nodes * options.each, time.monotonic()
        for group, first in enumerate(range(0, total, 10000)):
            count = min(10000, total - first)
            swarm.ok("provision", "--group", f"g{group}", "--count", count, "--image", "tiny", "--offering", "small")
            wait_until(lambda: swarm.runs(first + count), 300, "all run")
            print(f"{first + count} run after {time.monotonic() - began:.1f} s", file=sys.stderr)
        filled = time.monotonic() - began
        since = swarm.newest() + 1
        killed = swarm.ask(f"kill {options.lose} {options.how}", "killed")
        replaced = swarm.ask("await-replaced 60000", "replaced")
        print(json.dumps(replaced), file=sys.stderr)
        wait_until(lambda: swarm.runs(total), 300, "all run again")
        events = swarm.events("--from", "1")
        check_log(events)
        lost, once = replaced_once(events, since)
        verdicts = [e["time_ms"] - killed["wall_ms"] for e in events if e["seq"] >= since and e["type"] == "node.failed"]
        placed = [e["time_ms"] - killed["wall_ms"] for e in events if e["seq"] >= since and e["type"] == "instance.placed"]
        running = [e["time_ms"] - killed["wall_ms"] for e in events if e["seq"] >= since and e["type"] == "instance.running"]
        result = {"nodes": options.nodes, "killed": len(killed["nodes"]), "guests": killed["guests"], "verdicts": len(verdicts), "lost": lost,
                  "replaced_once": once, "ordered": replaced["ordered"], "joined_ms": swarm.joined["ms"], "filled_s": round(filled, 1),
                  "first_verdict_ms": min(verdicts), "last_verdict_ms": max(verdicts), "last_placed_ms": max(placed),
                  "first_ordered_ms": replaced["first_ms"], "last_ordered_ms": replaced["last_ms"], "last_running_ms": max(running),
                  "verdict_to_ordered_ms": replaced["last_ms"] - min(verdicts), "rows": len(events)}
        print(json.dumps(result), flush=True)
        whole = lost == once == killed["guests"] == replaced["ordered"] and len(verdicts) == len(killed["nodes"])
        return 0 if whole and result["verdict_to_ordered_ms"] <= options.limit_ms else 1
    finally:
        swarm.end(options.keep)


# ------------------------------------------------------------------ false-verdicts

def false_verdicts(options):
    dice = random.Random(options.seed)
    swarm = Swarm(options.nodes, options.broker_args, seed=options.seed)
    burners, dead = [], {}
    try:
        swarm.stock(["--vcpus", "1", "--memory-mib", "64", "--disk-mib", "64"])
        swarm.ok("provision", "--group", "web", "--count", options.nodes, "--image", "tiny", "--offering", "small", "--wait", "--timeout", "300", timeout=400)
        since = swarm.newest() + 1
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
        swarm.say(f"loss {options.loss}")
        swarm.say(f"stall {options.stall_ms} {options.stall_every_ms}")
        seconds = options.minutes * 60
        for i in range(options.deaths):
            select.select([], [], [], seconds / (options.deaths + 1) * dice.uniform(0.5, 1.0))
            killed = swarm.ask("kill 1 silent", "killed")
            dead[killed["nodes"][0]] = killed["wall_ms"]
        left = seconds - seconds * 0.75 * options.deaths / (options.deaths + 1)
        select.select([], [], [], max(5, left))
        swarm.say("stall 0 1")
        report = swarm.ask("report", "report")
        for burner in burners:
            burner.kill()
        events = swarm.events("--from", since)
        failed = [e for e in events if e["type"] == "node.failed"]
        false = [e for e in failed if e["data"]["node"] not in dead]
        took = [e["time_ms"] - dead[e["data"]["node"]] for e in failed if e["data"]["node"] in dead]
        kinds = {kind: sum(e["type"] == kind for e in events) for kind in ("node.suspect", "node.held", "instance.lost", "cluster.frozen", "monitor.suspended")}
        result = {"nodes": options.nodes, "minutes": options.minutes, "loss_percent": options.loss, "stall_ms": options.stall_ms,
                  "false_verdicts": len(false), "deaths": len(dead), "found": len(took), "verdict_p50_ms": percentile(took, 0.5),
                  "verdict_p99_ms": percentile(took, 0.99), **kinds, "datagrams": report["beats"], "dropped": report["dropped"], "relays": report["relays"], "swarm_cpu_ms": report["cpu_ms"]}
        print(json.dumps(result), flush=True)
        for event in false[:5]:
            print(json.dumps(event), file=sys.stderr)
        return 0 if not false and len(took) == len(dead) and max(took, default=0) <= 3000 else 1
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
        swarm.end(options.keep)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = parser.add_subparsers(dest="bench", required=True)
    mass = benches.add_parser("mass-loss")
    mass.add_argument("--nodes", type=int, default=5000)
    mass.add_argument("--lose", type=int, default=1000)
    mass.add_argument("--each", type=int, default=20)
    mass.add_argument("--how", choices=("silent", "crash"), default="crash")
    mass.add_argument("--limit-ms", type=int, default=2000)
    mass.add_argument("--breaker-args", default="--breaker-percent 100 --breaker-domain-percent 100")
    mass.set_defaults(run=mass_loss)
    false = benches.add_parser("false-verdicts")
    false.add_argument("--nodes", type=int, default=1000)
    false.add_argument("--minutes", type=float, default=10)
    false.add_argument("--loss", type=int, default=20)
    false.add_argument("--stall-ms", type=int, default=500)
    false.add_argument("--stall-every-ms", type=int, default=30000)
    false.add_argument("--deaths", type=int, default=20)
    false.set_defaults(run=false_verdicts)
    for bench in (mass, false):
        bench.add_argument("--seed", type=int, default=int(time.time()))
        bench.add_argument("--broker-args", default="")
        bench.add_argument("--keep", action="store_true", help="leave the state directory")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
