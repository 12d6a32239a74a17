#!/usr/bin/python3
"""Plays a scenario (tests/scenarios/*.mfs) on real processes, in network namespaces, with the outside checker on.

  MAYFLY_BIN=build/dev/bin tests/e2e/scenario.py FILE... [--driver null|libvirt] [--slack 3] [--limit 170] [--keep]

Each statement is told as it is carried out; what cannot be done here is told as SKIP and counted. The last line of each scenario is
one JSON object; exit 0 only if every expectation was met and the checker found nothing. --slack: a deadline of a scenario is one of
the simulator's virtual seconds, and a busy machine under sanitizers is allowed so many times that."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import netns
import story
from cluster import BIN, MAYFLY, Cluster, cmdline, processes_with, wait_until, zombie
from follow import Follower
from outside import Outside
from peer import Peer

REQUEST_S = 90  # a request is asked again until it is answered, as any client would
LEAST_S = 5  # whatever a scenario says, a deadline is at least this long here
QUIET_S = 2
NO_NAMESPACES = "NO NETWORK NAMESPACES HERE"  # ctest shows a test that says so as skipped
START_S = 60
REFUSALS = 1000
SETTLE_S = 40


class Unmet(Exception):
    """An expectation was not met."""


class Skip(Exception):
    """This runner cannot do that."""


class Runner:
    def __init__(self, path, driver, slack):
        self.path, self.driver, self.slack = pathlib.Path(path), driver, slack
        self.statements = story.read(path)
        self.verbs = {s.verb for s in self.statements}
        self.size = {"nodes": 1, "monitors": 1, "racks": 0}
        self.settings, self.number, self.skips, self.expects = {}, 0, [], 0
        self.mark_seq, self.mark_generations = 0, {}
        self.threads, self.starting, self.peers, self.mounts = [], [], [], []
        self.down, self.frozen, self.over = set(), set(), threading.Event()
        self.c = self.net = self.follower = self.outside = None

    # -- the cluster
    def up(self):
        """At the first statement that needs it: all settings are known by then."""
        if self.c:
            return
        why = netns.missing()
        if why and self.verbs & {"cut", "heal"}:
            raise Skip(f"{NO_NAMESPACES}: {why}")
        state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
        more = ["--image-root", self.make_images(state)] if self.driver == "libvirt" else []
        self.c = Cluster(state, self.size["nodes"], self.driver, up_args=more, monitors=self.size["monitors"], racks=self.size["racks"],
                         netns=not why, settings=self.settings)
        if "clock" in self.verbs:
            self.prepare_clocks(state)
        if "disk" in self.verbs:
            self.prepare_disks(state)
        self.follow_from_the_first_row()
        self.net = None if why else netns.Net(self.c)
        single = " ".join(s.words["single"] for s in self.statements if s.words.get("single"))
        self.outside = Outside(self.c, allow_ms=50 if "freeze" in self.verbs else 0, told_ms=20000, **({"single": single} if single else {}))
        self.add_images()

    def follow_from_the_first_row(self):
        """Beside `dev up`: a story may be about a log that keeps few rows."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            rising = pool.submit(self.c.up)
            wait_until(lambda: rising.done() or (self.c.state / "broker" / "endpoints").exists(), 120, "the broker is up")
            if not rising.done():
                self.c.take_environment()
            self.follower = Follower(self.c)
            self.follower.start()
            rising.result()

    @staticmethod
    def make_images(state):
        shutil.copytree(pathlib.Path(os.environ["MAYFLY_IMAGE_ROOT"]) / "tiny", state / "images" / "tiny")
        return state / "images"

    def add_images(self):
        """crash: ended by this runner as soon as it runs. bad: its file is not what it was when it was named."""
        wanted = {story.options(s.words["options"]).get("image") for s in self.statements if s.verb == "provision"}
        tiny = self.c.state / "images" / "tiny"
        for name in wanted - {None, "tiny"}:
            folder = tiny.parent / name
            shutil.copytree(tiny, folder)
            self.c.ok("image", "add", name, "--kernel", folder / "vmlinuz", "--initrd", folder / "initrd", "--cmdline", (tiny / "cmdline").read_text().strip())
        if "bad" in wanted:
            with open(tiny.parent / "bad" / "initrd", "ab") as file:
                file.write(b"damaged")
        if "crash" in wanted:
            self.background(self.crash_them)

    def prepare_clocks(self, state):
        (state / "skew").mkdir()
        for i in range(self.size["nodes"]):
            (state / "skew" / f"node-{i}").write_text(f"{0:<32}")
        library = BIN.parent / "tests" / "mayfly-skew.so"
        self.c.env.update(LD_PRELOAD=str(library), MAYFLY_SKEW_DIR=str(state / "skew"),
                          ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")

    def prepare_disks(self, state):
        """A file system of its own for each store that is to be full one day."""
        names = {s.words["name"] for s in self.statements if s.verb == "disk"}
        for folder in [state / "broker" if name == "broker" else state / "nodes" / name for name in sorted(names)]:
            folder.mkdir(parents=True)
            size = "48m" if self.driver == "null" or folder.name == "broker" else "400m"
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=4096,mode=0700", "mayfly-test", folder], capture_output=True, text=True)
            if done.returncode == 0:
                self.mounts.append(folder)

    def end(self):
        """Leaves nothing, whatever happened."""
        self.over.set()
        left = []
        for process in self.starting:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()
        for thread in self.threads:
            thread.join(timeout=30)
        for peer in self.peers:
            peer.close()
        if self.follower:
            self.follower.stop()
        if self.outside:
            self.outside.stop()
        if self.c:
            subnet = self.net.subnet if self.net else None
            self.c.down()
            left = [line for _, line in processes_with(str(self.c.state))]
            if subnet:
                left += netns.leftovers(subnet)
                netns.sweep(subnet)
            for folder in self.mounts:
                subprocess.run(["umount", "-l", folder], capture_output=True)
        return left

    def background(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        self.threads.append(thread)

    # -- requests: a client asks again until it is answered
    def ask(self, *args):
        """The answer's Result, or None when there was none in time."""
        self.number += 1
        command = [*args, "--request-id", f"story-{self.number}", "--timeout-ms", 2000]
        deadline = time.monotonic() + REQUEST_S
        while time.monotonic() < deadline and not self.over.is_set():
            result = self.c.run(*command)
            if result.code == 0 or "refused" in result.err and "may succeed later" not in result.err:
                return result
        return None

    def ask_patiently(self, *args):
        """Until answered, but the story goes on after a moment: the broker may be away on purpose."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.ask(*args)), daemon=True)
        thread.start()
        thread.join(timeout=3)
        if thread.is_alive():
            self.threads.append(thread)
            print(f"      {args[0]}: no answer yet; the story goes on")
        elif answers[0] is None or answers[0].code:
            print(f"      {args[0]}: {answers[0].err.strip() if answers[0] else 'no answer'}")

    # -- statements
    def cluster(self, options):
        self.size.update({k: int(v) for k, v in story.options(options).items()})

    def set(self, key, value):
        self.settings[key] = value.removesuffix("ms") if value.removesuffix("ms").isdigit() else value

    def provision(self, group, count, options):
        more = [w for k, v in story.options(options).items() if k != "image" for w in (f"--{k}", v)]
        self.ask_patiently("provision", "--group", group, "--count", count, "--image", story.options(options).get("image", "tiny"), "--offering",
                           "small", "--label", "beat=on", *more)

    def scale(self, group, count):
        self.ask_patiently("scale", group, count)

    def agent_pid(self, name):
        children = pathlib.Path(f"/proc/{self.c.pid(name)}/task/{self.c.pid(name)}/children").read_text().split()
        return next(int(p) for p in children if "mayfly-agent" in cmdline(p))

    def kill(self, guest, agent, name):
        if guest:
            group, _, slot = guest.removeprefix("guest ").partition("/")
            life = self.follower.running(group).get(int(slot))
            if not life:
                raise Unmet(f"{group}/{slot} does not run, so it cannot be killed")
            self.kill_guest(life)
        elif agent:
            self.c.dev("kill", "--agent", name)
        else:
            wait_until(lambda: self.c.run("dev", "kill", name, "--state", self.c.state).code == 0, START_S, f"{name} runs, to be killed")
            self.down.add(name)
            self.frozen.discard(name)

    def stop(self, name):
        """The keeper tells its agent, which tells the broker; both have ended when the keeper has, which holds its pid file until then."""
        wait_until(lambda: cmdline(self.c.pid(name)), START_S, f"{name} runs, to be stopped")
        pid = self.c.pid(name)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: zombie(pid), START_S, f"{name} has ended")
        self.down.add(name)

    def kill_guest(self, life):
        if self.driver == "libvirt":
            with contextlib.suppress(KeyError, ProcessLookupError):
                os.kill(self.c.qemus(life["node"])[life["id"]], signal.SIGKILL)
        else:
            subprocess.run([str(BIN / "mayfly-null"), "--root", str(self.c.state / "nodes" / life["node"] / "null"), "--die", life["id"], "--how", "crashed"],
                           capture_output=True, timeout=20)

    def crash_them(self):
        while not self.over.wait(0.05):
            with self.follower.changed:
                crashing = {g for g, i in ((e["data"]["group"], e["data"]["image"]) for e in self.follower.events if e["type"] == "group.created") if i == "crash"}
                victims = [life for group in crashing for life in self.follower.running(group).values()]
            for life in victims:
                self.kill_guest(life)

    def freeze(self, agent, name):
        if agent:
            os.kill(self.agent_pid(name), signal.SIGSTOP)
        else:
            self.c.dev("freeze", name)
        self.frozen.add(name)

    def thaw(self, agent, name):
        self.c.dev("thaw", name)  # of an agent alone, too: the others run already
        self.frozen.discard(name)

    def start(self, name):
        """A node is not waited for: what it waits for may be away."""
        self.down.discard(name)
        if not name.startswith("node-"):
            self.c.dev("start", name, "--timeout", START_S)
            return
        self.starting.append(subprocess.Popen([MAYFLY, "dev", "start", name, "--state", str(self.c.state), "--timeout", str(START_S)], env=self.c.env,
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def pairs(self, a, b):
        a, b = ([n for n in self.net.nodes if n != other] if x == "peers" else [x] for x, other in ((a, b), (b, a)))
        return [(x, y) for x in a for y in b]

    def cut(self, a, b, oneway):
        for x, y in self.pairs(a, b):
            self.net.cut(x, y, oneway=bool(oneway))

    def heal(self, all, a, b):  # noqa: A002  (a word of the grammar)
        if all:
            self.net.heal_all()
        else:
            for x, y in self.pairs(a, b):
                self.net.heal(x, y)

    def clock(self, name, by):
        path = self.c.state / "skew" / name
        value = int(path.read_text()) + int(story.seconds(by) * 1000)
        with open(path, "r+b", buffering=0) as file:
            file.write(b"%-32d" % value)

    def driver_(self, name, how):
        if self.driver != "null":
            raise Skip("only the null driver can be told to fail or to be slow")
        script = {"fail": "create-fail=1", "slow": "create=3000", "ok": ""}[how]
        subprocess.run([str(BIN / "mayfly-null"), "--root", str(self.c.state / "nodes" / name / "null"), "--script", script], check=True, timeout=20,
                       capture_output=True)

    def disk(self, name, how):
        folder = self.c.state / "broker" if name == "broker" else self.c.state / "nodes" / name
        if folder not in self.mounts:
            raise Skip("no file system of its own could be mounted")
        ballast = folder / "ballast"
        if how == "ok":
            shutil.rmtree(ballast)
            return
        ballast.mkdir()
        with contextlib.suppress(OSError), open(ballast / "bytes", "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with contextlib.suppress(OSError):
            for i in range(10000):
                (ballast / str(i)).touch()
        if name == "broker":
            self.use_up_the_log()

    def use_up_the_log(self):
        """A write-ahead log that was longer once takes more rows until it is at its old end. Requests that are refused fill it and
        change nothing else."""
        with Peer(self.c, "operator", "admin") as peer:
            for _ in range(REFUSALS):
                peer.say("provision", request_id=os.urandom(8).hex(), group="filler", count=1, image="no-such-image", offering="small",
                         user_data=b"-" + os.urandom(59999))
                message = peer.hear(timeout=3)
                if not message or message[1]["code"] == "store-full":  # the very first is held back, not refused
                    return
        raise Unmet(f"the broker took {REFUSALS} requests though its disk is full")

    def operator(self, verb, what):
        if verb in ("freeze", "thaw"):
            self.ask_patiently(verb)
        elif verb == "destroy":
            self.ask_patiently("destroy", what)
        else:
            self.ask_patiently(*({"forget": ("node", "forget")}.get(verb) or (verb,)), what)

    def subscribe(self, how, name):
        peer = Peer(self.c, "reader", name, rcvhwm=10)
        self.peers.append(peer)
        peer.say("subscribe", request_id=f"of-{name}", stream=1, from_=1, credit=1000000)
        if how == "expired":
            answer = peer.hear_until("error", timeout=20)
            if answer["code"] != "expired" or answer.get("oldest_seq", 0) <= 1:
                raise Unmet(f"a cursor below retention was answered {answer}")

    def mark(self):
        """What was asked for before is in it: a status is answered when all it shows is durable."""
        result = self.c.run("status", "-o", "json", "--timeout-ms", 2000)
        seq = json.loads(result.out)["seq"] if result.out.startswith("{") else 0
        self.follower.wait(lambda: len(self.follower.events) >= seq, 20)
        with self.follower.changed:
            self.mark_seq = len(self.follower.events)
            self.mark_generations = {g: self.follower.generations(g) for g in self.follower.groups}

    # -- expectations
    def within(self, text):
        return max(LEAST_S, story.seconds(text) * self.slack)

    def expect(self, no, type, subject, count, within, lasting, running, wanted, running_within, same, single, gone, gone_within):  # noqa: A002
        self.expects += 1
        f, since = self.follower, self.mark_seq
        if type and no:
            if f.wait(lambda: f.matching(type, subject, since), story.seconds(lasting)):
                raise Unmet(f"there is {f.matching(type, subject, since)[0]}")
        elif type:
            n = int(count or 1)
            if not f.wait(lambda: len(f.matching(type, subject, since)) >= n, self.within(within)):
                raise Unmet(f"{len(f.matching(type, subject, since))} of {n} such events within {self.within(within)} s")
        elif running:
            if not f.wait(lambda: len(f.running(running)) == int(wanted), self.within(running_within)):
                raise Unmet(f"{len(f.running(running))} of {running} run after {self.within(running_within)} s")
        elif same:
            with f.changed:
                before, now = self.mark_generations.get(same, {}), f.generations(same)
            if before != now or not before:
                raise Unmet(f"generations were {before}, are {now}")
        elif gone:
            if not f.wait(lambda: f.groups.get(gone) in f.ended, self.within(gone_within)):
                raise Unmet(f"{gone} is not gone after {self.within(gone_within)} s")
        # single: the checker holds the group to it, from the first moment to the last

    # -- the whole
    def play(self):
        self.began = time.monotonic()
        for statement in self.statements:
            if statement.verb not in ("cluster", "set"):
                self.up()
            print(f"{time.monotonic() - self.began:7.2f}  {statement.number:3}  {statement.text}", flush=True)
            method = getattr(self, "driver_" if statement.verb == "driver" else statement.verb)
            try:
                method(**statement.words)
            except Skip as why:
                self.skips.append(statement.number)
                print(f"SKIP line {statement.number}: {why}", flush=True)
            except Unmet as why:
                raise Unmet(f"{self.path.name} line {statement.number}: {statement.text}: {why}") from None
        self.settle()
        return self.outside.judge(self.whole_log())

    def settle(self):
        """Everything is brought back but what was killed for good, and the log comes to rest: then it must be true."""
        if self.net:
            self.net.heal_all()
        for name in sorted(self.frozen):
            self.c.dev("thaw", name)
        for folder in self.mounts:
            shutil.rmtree(folder / "ballast", ignore_errors=True)
        if "broker" in self.down:
            self.start("broker")
        deadline = time.monotonic() + SETTLE_S
        seq = -1
        while time.monotonic() < deadline and seq != self.follower.newest():
            seq = self.follower.newest()
            self.over.wait(QUIET_S)

    def whole_log(self):
        with self.follower.changed:
            return list(self.follower.events)


def out_of_time(*_):
    raise Unmet("it takes longer than --limit")


def play(path, driver, slack, keep, limit):
    runner, problem, verdict, skipped = None, None, {}, None
    print(f"=== {path}")
    signal.alarm(limit)
    try:
        runner = Runner(path, driver, slack)
        verdict = runner.play()
        problem = f"the checker: {verdict['told']}" if runner.outside.process.returncode else None
    except Skip as why:
        skipped = str(why)
        print(f"*** SKIPPED {pathlib.Path(path).name}: {why} ***")
    except (story.Wrong, Unmet, AssertionError, OSError, subprocess.SubprocessError) as error:
        problem = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    left = runner.end() if runner else []
    complaints = runner.c.complaints() if runner and runner.c else []
    problem = problem or (f"left behind: {left}" if left else None) or (f"complaints: {complaints}" if complaints else None)
    if problem and runner and runner.follower:
        print("\n".join(runner.follower.tail()))
    print(json.dumps({"scenario": pathlib.Path(path).stem, "driver": driver, "ok": not problem and not skipped, "skipped": skipped, "expects": runner.expects if runner else 0,
                      "skipped_lines": runner.skips if runner else [], "problem": problem,
                      **{k: verdict[k] for k in ("sweeps", "longest_gap_ms", "seen", "overlaps", "doubled_ms", "I2", "I3", "I5", "I7") if k in verdict}}), flush=True)
    if runner and runner.c and not (keep and problem):
        shutil.rmtree(runner.c.state, ignore_errors=True)
    return None if skipped else not problem


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--driver", choices=["null", "libvirt"], default="null")
    parser.add_argument("--slack", type=float, default=float(os.environ.get("MAYFLY_SCENARIO_SLACK", "3")))
    parser.add_argument("--keep", action="store_true", help="leave a failed cluster's directory")
    parser.add_argument("--limit", type=int, default=170, help="seconds for one scenario, after which it is ended and has failed")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, out_of_time)
    results = [play(path, options.driver, options.slack, options.keep, options.limit) for path in options.files]
    print(f"scenarios {len(results)} ok {results.count(True)} skipped {results.count(None)}")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
