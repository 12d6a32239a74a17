"""A storm over real processes. One seed drives two actors: a client that provisions, scales and destroys, and a breaker that
kills, freezes and revives whatever it likes, with several faults at once. An outside checker, which asks neither broker nor
agents, samples what truly runs; a follower reads the exact stream all the while. Afterwards everything is brought back and must
heal within HEAL_S. A failing seed is printed: MAYFLY_SEED=... plays its story again, MAYFLY_CHAOS_SECONDS=... makes it longer."""
import json
import os
import random
import subprocess
import threading
import time

from cluster import MAYFLY, BIN, check_log, kill, wait_until

HEAL_S = 60  # agents and keepers under sanitizers, a full backoff of a slot (10 s and a quarter), and two busy cores
FOLLOWED_LINES = 600
TOLD_MS = 3000  # what the log calls gone may not run this long after
GROUPS = ["red", "green", "blue", "grey"]
SERVICES = ["broker", "health-0"]


class Client(threading.Thread):
    """One request after the other, each asked again under its id until it is answered: so the model is exact."""

    def __init__(self, cluster, seed, storm):
        super().__init__(name="client")
        self.c, self.random, self.storm = cluster, random.Random(f"client {seed}"), storm
        self.desired, self.answers, self.destroyed, self.number = {}, {}, [], 0

    def ask(self, *args):
        """The answer, or None when it was refused for good (the reason is in self.refused)."""
        self.number += 1
        request_id = f"chaos-{self.number}"
        command = [*args, "--request-id", request_id, "-o", "json", "--timeout-ms", 1500]
        deadline = time.monotonic() + HEAL_S + self.storm.seconds
        while True:
            result = self.c.run(*command)
            if result.code == 0:
                break
            if "refused (" in result.err and "may succeed later" not in result.err:
                self.refused = result.err
                return None
            assert time.monotonic() < deadline, f"{command} is not answered: {result}"
        answer = json.loads(result.out)
        self.answers[request_id] = answer
        if self.random.random() < 0.25:
            again = self.c.run(*command)
            if again.code == 0:
                assert json.loads(again.out) == answer, f"{command} asked twice: {answer}, then {again}"
        return answer

    def provision(self, group):
        count = self.random.randint(1, self.storm.most)
        more = self.random.choice([[], ["--spread", "host"], ["--fit", "best-fit"]])
        answer = self.ask("provision", "--group", group, "--count", count, "--image", "tiny", "--offering", "small", *more)
        if answer is None:
            assert "ending" in self.refused or "exists" in self.refused, self.refused
        else:
            self.desired[group] = count

    def scale(self, group):
        count = self.random.randint(0, self.storm.most)
        answer = self.ask("scale", group, count)
        assert answer is not None, self.refused
        self.desired[group] = count

    def destroy_slot(self, group):
        if self.desired[group] == 0:
            return
        answer = self.ask("destroy", f"{group}/{self.random.randrange(self.desired[group])}")
        if answer is not None:  # a slot between two lives has nothing to destroy
            self.destroyed.append(answer["id"])

    def destroy_group(self, group):
        answer = self.ask("destroy", group, *self.random.choice([[], ["--grace", 1]]))
        assert answer is not None, self.refused
        del self.desired[group]

    def run(self):
        try:
            while not self.storm.over.wait(self.random.random() * 0.4):
                group = self.random.choice(GROUPS)
                if group not in self.desired:
                    self.provision(group)
                else:
                    self.random.choices([self.scale, self.destroy_slot, self.destroy_group], [5, 6, 1])[0](group)
        except BaseException as error:  # told by the test's own thread
            self.storm.failures.append(error)


class Breaker(threading.Thread):
    """Kills, freezes, revives. What is dead or frozen is known to it alone, and to the checker by name."""

    def __init__(self, cluster, seed, storm):
        super().__init__(name="breaker")
        self.c, self.random, self.storm = cluster, random.Random(f"breaker {seed}"), storm
        self.names = SERVICES + [f"node-{i}" for i in range(cluster.nodes)]
        self.state = dict.fromkeys(self.names, "runs")
        self.starting = []

    def tell(self, *words):
        print(f"{time.time() - self.storm.began:7.2f}", *words, flush=True)

    def dev(self, *args):
        self.tell(*args)
        return self.c.run("dev", *args, "--state", self.c.state, timeout=60)

    def revive(self, name):
        """Not waited for: what it waits for may be dead, too."""
        self.tell("start", name)
        self.starting = [p for p in self.starting if p.poll() is None]
        self.starting.append(subprocess.Popen([MAYFLY, "dev", "start", name, "--state", str(self.c.state), "--timeout", "20"],
                                              env=self.c.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def die(self):
        node, guests = self.random.choice([(n, g) for n, g in self.storm.truth().items() if g is not None] or [(None, None)])
        if guests:
            victim = self.random.choice(sorted(guests))
            self.tell("die", node, victim)
            self.storm.die(node, victim)

    def step(self):
        if self.random.random() < 0.25:
            self.die()
            return
        name = self.random.choice(self.names)
        state = self.state[name]
        if state == "dead":
            self.revive(name)
            self.state[name] = "runs"
        elif state == "frozen":
            if self.random.random() < 0.2:
                self.dev("kill", name)
                self.state[name] = "dead"
            else:
                self.dev("thaw", name)
                self.state[name] = "runs"
        elif name.startswith("node-") and self.random.random() < 0.4:
            self.dev("kill", "--agent", name)
        elif self.random.random() < 0.5:
            self.state[name] = "dead"
            self.dev("kill", name)
        else:
            self.state[name] = "frozen"
            self.dev("freeze", name)

    def run(self):
        try:
            while not self.storm.over.wait(self.random.expovariate(1 / 0.6)):
                self.step()
        except BaseException as error:
            self.storm.failures.append(error)

    def heal(self):
        """Everything is brought back; a start that was under way when its process was frozen or killed is tried again."""
        for process in self.starting:
            process.wait(timeout=60)
        for name in self.names:
            self.dev("thaw", name)
            self.state[name] = "runs"
        for name in self.names:
            state = {row["name"]: row for row in json.loads(self.c.ok("dev", "status", "--state", self.c.state, "-o", "json").out)}
            if state[name]["state"] == "dead":
                self.c.dev("start", name, "--timeout", HEAL_S)


class Checker(threading.Thread):
    """What truly runs, again and again, with the wall clock before it was looked at."""

    def __init__(self, storm):
        super().__init__(name="checker")
        self.storm, self.samples = storm, []

    def run(self):
        try:
            while not self.storm.over.wait(0.1):
                at = time.time() * 1000
                self.samples.append((at, self.storm.truth()))
        except BaseException as error:
            self.storm.failures.append(error)


class Storm:
    def __init__(self, cluster, seed, seconds, most):
        self.c, self.seconds, self.most = cluster, seconds, most  # most: instances of a group, so that all groups have room
        self.began, self.over, self.failures = time.time(), threading.Event(), []
        self.client, self.breaker, self.checker = Client(cluster, seed, self), Breaker(cluster, seed, self), Checker(self)

    # -- what truly runs: {node: set of ids, or None where nobody can say}
    def truth(self):
        return {f"node-{i}": self.node_truth(f"node-{i}") for i in range(self.c.nodes)}

    def node_truth(self, node):
        if self.c.driver != "null":
            return self.c.qemus(node)
        socket = next((self.c.state / "nodes" / node).rglob("null.sock"), None)
        if socket is None or self.breaker.state[node] != "runs":
            return None
        try:
            done = subprocess.run([str(BIN / "mayfly-null"), "--root", str(socket.parent), "--list"], capture_output=True, text=True,
                                  timeout=2)
        except subprocess.TimeoutExpired:
            return None  # frozen in the meantime
        if done.returncode != 0:
            return None
        return {line.split()[0] for line in done.stdout.splitlines() if line.split()[1] == "running"}

    def die(self, node, victim):
        if self.c.driver != "null":
            try:
                kill(self.c.qemus(node)[victim])
            except (KeyError, ProcessLookupError):
                pass  # it was quicker
            return
        root = next((self.c.state / "nodes" / node).rglob("null.sock")).parent
        try:
            subprocess.run([str(BIN / "mayfly-null"), "--root", str(root), "--die", victim], capture_output=True, timeout=2)
        except subprocess.TimeoutExpired:
            pass

    # -- the story
    def blow(self):
        follower_out = open(self.c.state / "followed", "w+")
        follower = subprocess.Popen([MAYFLY, "events", "--follow", "--from", "1", "-o", "json"], env=self.c.env, stdout=follower_out,
                                    stderr=subprocess.PIPE)
        actors = [self.client, self.breaker, self.checker]
        try:
            for actor in actors:
                actor.start()
            self.over.wait(self.seconds)
            self.over.set()
            self.breaker.join()
            self.breaker.heal()
            healing = time.monotonic()
            for actor in actors:
                actor.join()
            assert not self.failures, self.failures
            problem = None
            try:
                wait_until(lambda: (found := self.problems()) == [] or setattr(self, "found", found), HEAL_S, "healed")
            except AssertionError as error:
                problem = f"{error}: {self.found}"
            assert problem is None, problem
            print(f"healed in {time.monotonic() - healing:.1f} s, {len(self.client.answers)} requests, {len(self.checker.samples)} samples")
            self.check_history(follower, follower_out)
            self.end()
        except BaseException:
            self.print_followed(follower_out)
            raise
        finally:
            self.over.set()
            follower.kill()
            follower.wait()
            for process in self.breaker.starting:
                process.wait(timeout=60)

    def print_followed(self, follower_out):
        """For whoever reads the failure: the last that was heard of the log, a line each."""
        follower_out.seek(0)
        for line in follower_out.read().splitlines()[-FOLLOWED_LINES:]:
            print(line[:300])

    def problems(self):
        """What is not yet as it must be: the broker's word against the client's model and against what truly runs."""
        found = []
        if self.c.run("status", "--timeout-ms", 2000).code != 0:
            return ["status is red"]
        found += [f"{n['name']} is {n['state']}" for n in self.c.json("nodes") if n["state"] != "ready"]
        groups = {g["group"] for g in self.c.json("groups")}
        if groups != set(self.client.desired):
            found.append(f"groups are {groups}, not {set(self.client.desired)}")
        rows = self.c.instances()
        for group, desired in self.client.desired.items():
            slots = sorted(r["slot"] for r in rows if r["group"].split("/")[-1] == group and r["state"] == "running")
            if slots != list(range(desired)):
                found.append(f"{group} of {desired} runs {slots}")
        found += [f"{r['group']}/{r['slot']}#{r['generation']} is {r['state']}" for r in rows if r["state"] != "running"]
        known = {r["id"]: r["node"] for r in rows}
        real = {}
        for node, guests in self.truth().items():
            found += [f"{node}: nobody can say what runs"] if guests is None else []
            for guest in guests or ():
                found += [f"{guest} runs on {node} and {real[guest]}"] if guest in real else []
                real[guest] = node
        if real != known:
            found.append(f"extra or elsewhere: {set(real.items()) - set(known.items())}, missing: {set(known.items()) - set(real.items())}")
        found += [f"{i} was destroyed" for i in self.client.destroyed if i in known]
        return found

    def check_history(self, follower, follower_out):
        newest = self.c.newest()
        events = self.c.events()[:newest]

        def followed():
            follower_out.seek(0)
            return [json.loads(line) for line in follower_out.read().splitlines(keepends=True) if line.endswith("\n")]
        wait_until(lambda: len(followed()) >= newest or follower.poll() is not None, 20, "the follower has all of it")
        assert followed()[:newest] == events, "the exact stream, across all of it, is the log"
        check_log(events)
        check_replacements(events)
        accepted = [e["data"]["request_id"] for e in events if e["type"] == "request.accepted"]
        assert len(accepted) == len(set(accepted)), "a request was carried out twice"
        by_id = {e["data"]["request_id"]: e["seq"] for e in events if e["type"] == "request.accepted"}
        for request_id, answer in self.client.answers.items():
            assert by_id.get(request_id) == answer["seq"], f"{request_id} was answered {answer} and is not in the log"
        check_samples(events, self.checker.samples)

    def end(self):
        for group in self.client.desired:
            self.c.ok("destroy", group)
        self.client.desired = {}
        wait_until(lambda: self.problems() == [], HEAL_S, f"nothing left: {self.problems()}")


def check_replacements(events):
    """One failure, one replacement: what was replaced is replaced again only when it was reinstated and failed anew."""
    replaced = {}
    for event in events:
        data = event["data"]
        if event["type"] == "instance.created" and data.get("replaces"):
            assert data["replaces"] not in replaced, f"replaced twice: {replaced[data['replaces']]}, {event}"
            replaced[data["replaces"]] = event
        elif event["type"] == "instance.reinstated":
            replaced.pop(data["id"], None)


def check_samples(events, samples):
    """What ran was ordered; what the log calls dead or gone ran no more."""
    created = {e["data"]["id"] for e in events if e["type"] == "instance.created"}
    ended = {}
    for event in events:
        if event["type"] in ("instance.gone", "instance.died"):
            ended.setdefault(event["data"]["id"], event)
    for at, truth in samples:
        where = {}
        for node, guests in truth.items():
            for guest in guests or ():
                assert guest in created, f"{guest} ran on {node}, and nobody ordered it"
                assert guest not in where, f"{guest} ran on {node} and {where[guest]} at once"
                where[guest] = node
                end = ended.get(guest)
                assert end is None or at < end["time_ms"] + TOLD_MS, f"{guest} ran on {node} {at - end['time_ms']:.0f} ms after {end}"


def seed_and_seconds():
    seed = int(os.environ.get("MAYFLY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"MAYFLY_SEED={seed}")
    return seed, float(os.environ.get("MAYFLY_CHAOS_SECONDS", 40))


def test_storm_on_null(null4):
    seed, seconds = seed_and_seconds()
    Storm(null4, seed, seconds, most=14).blow()


def test_storm_on_qemu(qemu3):
    seed, seconds = seed_and_seconds()
    Storm(qemu3, seed, seconds, most=3).blow()
