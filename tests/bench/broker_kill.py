#!/usr/bin/python3
"""The broker is killed (-9) KILLS times, at random moments, while clients provision, scale and destroy without a pause; null driver.

Nothing acknowledged may be lost (its row is in the log under the seq it was answered with, every group that was not destroyed runs,
every destroyed one is gone), nothing doubled (no request carried out twice, no slot and no guest twice), nothing left over. Prints one
JSON object; exit 0 only if all of these are 0.
  MAYFLY_BIN=build/release/bin tests/bench/broker_kill.py [--kills 500] [--workers 4] [--seed N]"""
import argparse
import collections
import json
import pathlib
import random
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import MAYFLY, Cluster, check_log, wait_until  # noqa: E402

NODES = 3
GROUPS = 12  # of one client, at most: the oldest ends when there are more
ANSWER_S = 120


class Client(threading.Thread):
    """One request after the other, each asked again under its id until it is answered."""

    def __init__(self, cluster, number, seed, over):
        super().__init__(name=f"client-{number}")
        self.c, self.number, self.over = cluster, number, over
        self.dice = random.Random(f"{seed} {number}")
        self.wanted, self.answers, self.wrong, self.made = collections.OrderedDict(), {}, [], 0

    def ask(self, *args):
        self.made += 1
        request_id = f"c{self.number}-{self.made}"
        deadline = time.monotonic() + ANSWER_S
        while True:
            done = subprocess.run([MAYFLY, *map(str, args), "--request-id", request_id, "-o", "json", "--timeout-ms", "2000"], env=self.c.env,
                                  capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                self.answers[request_id] = json.loads(done.stdout)["seq"]
                return
            assert time.monotonic() < deadline and "refused" not in done.stderr, f"{args}: {done.stderr}"

    def step(self):
        if len(self.wanted) >= GROUPS:
            group, _ = self.wanted.popitem(last=False)
            self.ask("destroy", group)
        elif self.wanted and self.dice.random() < 0.4:
            group = self.dice.choice(list(self.wanted))
            self.wanted[group] = self.dice.randint(1, 3)
            self.ask("scale", group, self.wanted[group])
        else:
            group = f"g{self.number}-{self.made}"
            self.wanted[group] = self.dice.randint(1, 3)
            self.ask("provision", "--group", group, "--count", self.wanted[group], "--image", "tiny", "--offering", "small")

    def run(self):
        try:
            while not self.over.is_set():
                self.step()
        except BaseException as error:  # told in the report
            self.wrong.append(str(error))


def kill_at_random(cluster, kills, dice, clients):
    for n in range(kills):
        pause = dice.uniform(0, 0.4) if dice.random() < 0.9 else dice.uniform(0, 3)
        select.select([], [], [], pause)
        cluster.dev("kill", "broker")
        cluster.dev("start", "broker")
        if n % 50 == 49:
            print(f"{n + 1} kills, {sum(len(c.answers) for c in clients)} requests answered", file=sys.stderr, flush=True)
        if any(c.wrong for c in clients):
            return n + 1
    return kills


def report(cluster, clients):
    wanted = {(group, slot) for c in clients for group, count in c.wanted.items() for slot in range(count)}

    def whole():
        rows = cluster.running()
        return len(rows) == len(wanted) == len(cluster.instances()) and rows
    wait_until(lambda: {n["state"] for n in cluster.json("nodes")} == {"ready"}, 120, "all nodes ready")
    try:
        wait_until(whole, 180, "all that is wanted runs, and nothing else")
    except AssertionError as error:
        print(error, file=sys.stderr)
    rows = cluster.running()
    slots = [(r["group"].split("/")[-1], r["slot"]) for r in rows]
    guests = [g for i in range(NODES) for g in cluster.null_guests(f"node-{i}")]
    events = cluster.events()
    check_log(events)
    accepted = collections.Counter(e["data"]["request_id"] for e in events if e["type"] == "request.accepted")
    seqs = {e["data"]["request_id"]: e["seq"] for e in events if e["type"] == "request.accepted"}
    answers = {k: v for c in clients for k, v in c.answers.items()}
    return {"requests": len(answers), "lost": sum(seqs.get(k) != v for k, v in answers.items()) + len(wanted - set(slots)),
            "doubled": sum(n - 1 for n in accepted.values()) + len(slots) - len(set(slots)) + len(guests) - len(set(guests)),
            "left_over": len(set(slots) - wanted) + len(set(guests) ^ {r["id"] for r in rows}), "events": len(events)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, NODES, "null")
    began, over = time.monotonic(), threading.Event()
    clients = [Client(cluster, n, options.seed, over) for n in range(options.workers)]
    try:
        cluster.up()
        for client in clients:
            client.start()
        kills = kill_at_random(cluster, options.kills, random.Random(options.seed), clients)
        over.set()
        for client in clients:
            client.join()
        told = {"bench": "broker-kill", "kills": kills, **report(cluster, clients), "seconds": round(time.monotonic() - began, 1)}
        wrong = [w for c in clients for w in c.wrong] + cluster.complaints()
        print(json.dumps({**told, "wrong": wrong[:5]}))
        return 0 if not wrong and told["lost"] == told["doubled"] == told["left_over"] == 0 else 1
    finally:
        over.set()
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
