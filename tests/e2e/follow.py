"""Follows the exact stream of events and keeps what the log says of every slot, so that a story can wait for it while the broker
comes and goes."""
import json
import subprocess
import threading
import time

from cluster import MAYFLY

QUIET_S = 0.1
RUNS = {"running", "retiring"}
STATES = {"instance.created": "pending", "instance.placed": "placed", "instance.running": "running", "instance.reinstated": "running",
          "instance.adopted": "running", "instance.superseded": "retiring", "instance.lost": "lost", "instance.died": "gone",
          "instance.gone": "gone", "instance.failed": "tombstone", "instance.tombstoned": "tombstone", "instance.destroying": "destroying"}


class Follower(threading.Thread):
    def __init__(self, cluster):
        super().__init__(name="follower", daemon=True)
        self.c, self.events, self.changed, self.over = cluster, [], threading.Condition(), False
        self.lives = {}  # id: {"slot": (group, slot), "generation", "state", "node", "id"}
        self.slots = {}  # (group, slot): id of the newest that is current
        self.groups = {}  # name: group_id
        self.ended = set()  # group ids
        self.process, self.came = None, 0.0  # when the newest row came

    def run(self):
        while not self.over:
            self.process = subprocess.Popen([MAYFLY, "events", "--follow", "--from", str(len(self.events) + 1), "-o", "json"], env=self.c.env,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self.process.stdout:
                if not line.endswith("\n"):
                    break
                with self.changed:
                    self.take(json.loads(line))
                    self.came = time.monotonic()
                    self.changed.notify_all()
            self.process.wait()

    def stop(self):
        self.over = True
        if self.process:
            self.process.kill()
        self.join(timeout=10)

    def take(self, event):
        assert event["seq"] == len(self.events) + 1, f"a gap in the stream: {event['seq']} after {len(self.events)}"
        self.events.append(event)
        kind, data = event["type"], event["data"]
        if kind == "group.created":
            self.groups[data["group"]] = data["group_id"]
        elif kind == "group.gone":
            self.ended.add(data["group_id"])
        elif kind in ("instance.created", "instance.adopted"):
            group = event["subject"].split("/")[1]
            self.lives[data["id"]] = {"slot": (group, data["slot"]), "generation": data["generation"], "id": data["id"], "node": data.get("node")}
        life = self.lives.get(data.get("id"))
        if life and kind in STATES:
            life["state"] = STATES[kind]
            life["node"] = data.get("node") or life["node"]
            if kind in ("instance.created", "instance.adopted", "instance.reinstated"):
                self.slots[life["slot"]] = life["id"]

    # -- asked by the story; each under the lock
    def wait(self, condition, timeout):
        """The condition's value once it is true and nothing more came for a moment (a commit has many rows, and one alone is half of
        what happened); its last value at the deadline."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while (left := deadline - time.monotonic()) > 0:
                quiet = QUIET_S - (time.monotonic() - self.came)
                if condition() and quiet <= 0:
                    break
                self.changed.wait(min(left, max(quiet, 0.01) if quiet > 0 else left))
            return condition()

    def newest(self):
        with self.changed:
            return len(self.events)

    def running(self, group):
        """{slot: life} of the slots that run."""
        return {life["slot"][1]: life for life in self.lives.values() if life["slot"][0] == group and life["state"] in RUNS}

    def generations(self, group):
        return {slot: self.lives[i]["generation"] for (g, slot), i in self.slots.items() if g == group and self.lives[i]["state"] != "gone"}

    def matching(self, kind, subject, since):
        return [e for e in self.events[since:] if e["type"] == kind and (not subject or is_subject(e["subject"], subject))]

    def tail(self, n=40):
        with self.changed:
            return [f"{e['seq']:5} {e['time_ms'] % 1000000 / 1000:8.3f} {e['type']} {e['subject']} {json.dumps(e['data'])[:180]}" for e in self.events[-n:]]


def is_subject(subject, wanted):
    """As a person names it: node-1 for node/node-1, web or web/3 for default/web/3#1, or the whole."""
    short = subject.partition("/")[2] or subject
    return wanted in (subject, short) or any(s.startswith(wanted + c) for s in (subject, short) for c in "/#")
