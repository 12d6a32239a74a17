#!/usr/bin/env python3
"""mayfly-replay against another replayer, written from the paper's words alone, and against bad input.
  test_replay.py PROGRAM"""
import gzip
import heapq
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TRACE, WINDOWS = HERE / "synthetic.csv", HERE / "synthetic-windows.txt"
CPU, MEMORY, SPLIT = 40, 90, 10
PROGRAM = sys.argv[1]


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)


def replay(servers, policy, *more):
    done = run("--trace", TRACE, "--windows", WINDOWS, "--servers", servers, "--policy", policy, *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ------------------------------------------------------------------ the other one

class Servers:
    def __init__(self, n):
        self.free, self.leaving, self.now = [[[CPU, MEMORY], [CPU, MEMORY]] for _ in range(n)], [], 0

    def fits(self, s, cells, cpu, mem):
        return all(self.free[s][c][0] >= cpu / len(cells) and self.free[s][c][1] >= mem / len(cells) for c in cells)

    def first(self, cpu, mem):
        ways = [(0, 1)] if mem > SPLIT else [(0,), (1,)]
        return next(((s, cells) for s in range(len(self.free)) for cells in ways if self.fits(s, cells, cpu, mem)), None)

    def balance(self, cpu, mem):
        if mem > SPLIT:
            return self.first(cpu, mem)
        best, widest = None, 0.0
        for s, cells in enumerate(self.free):
            a, b = (min(c[0] / CPU, c[1] / MEMORY) for c in cells)
            order = [(1,), (0,)] if b > a else [(0,), (1,)]
            way = next((w for w in order if self.fits(s, w, cpu, mem)), None)
            if way and abs(a - b) > widest:
                best, widest = (s, way), abs(a - b)
        return best or self.first(cpu, mem)

    def change(self, place, cpu, mem, sign):
        s, cells = place
        for c in cells:
            self.free[s][c][0] += sign * cpu / len(cells)
            self.free[s][c][1] += sign * mem / len(cells)

    def until(self, now):
        self.now = max(self.now, now)
        while self.leaving and self.leaving[0][0] <= self.now:
            _, _, place, cpu, mem = heapq.heappop(self.leaving)
            self.change(place, cpu, mem, 1)

    def put(self, row, choose):
        n, cpu, mem, at, life = row
        self.until(at)
        while (place := choose(cpu, mem)) is None:
            self.until(self.leaving[0][0])
        self.change(place, cpu, mem, -1)
        heapq.heappush(self.leaving, (self.now + life, n, place, cpu, mem))
        return self.now - at


def length(rows, start, n):
    servers, count = Servers(n), 0
    while servers.first(*rows[start + count][1:3]) is not None:
        servers.put(rows[start + count], servers.first)
        count += 1
    return count + 40


def waits(rows, start, n, name):
    servers, many = Servers(n), length(rows, start, n)
    choose = servers.balance if name == "paper-balance-fit" else servers.first
    return many, sum(servers.put(row, choose) for row in rows[start : start + many])


def test_against_the_other():
    rows = [tuple(map(int, line.split(","))) for line in TRACE.read_text().splitlines()[1:]]
    starts = [int(line) for line in WINDOWS.read_text().split()]
    for n in (1, 2, 3):
        for name in ("paper-first-fit", "paper-balance-fit"):
            ours = replay(n, name, "--seeds", 1)["window_waits"]
            assert [(w["row"], w["length"], w["wait_s"]) for w in ours] == [(s, *waits(rows, s, n, name)) for s in starts], (n, name)
        assert replay(n, "first-fit", "--seeds", 1)["window_waits"] == replay(n, "paper-first-fit", "--seeds", 1)["window_waits"]


def test_same_again():
    first, second = replay(3, "room"), replay(3, "room")
    assert first["window_waits"] == second["window_waits"]
    assert first["trimmed_mean_wait_s"] < replay(3, "paper-first-fit")["trimmed_mean_wait_s"]
    assert first["decisions"] >= first["placed"] == sum(w["length"] for w in first["window_waits"]) * 5


def refused(word, *arguments, trace=None, windows="0\n"):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = trace if isinstance(trace, bytes) else (trace or TRACE.read_text()).encode()
        (folder / "t.csv").write_bytes(data)
        (folder / "w.txt").write_text(windows)
        done = run("--trace", folder / "t.csv", "--windows", folder / "w.txt", "--servers", 1, *arguments)
        assert done.returncode in (1, 2) and word in done.stderr and not done.stdout, (word, done)


def test_bad_input():
    head = "vmid,cpu,mem,at,lt\n"
    refused("header", trace="id,cpu,mem,at,lt\n0,1,1,0,1\n")
    refused("there are no rows", trace=head)
    refused("missing or doubled", trace=head + "0,1,1,0,1\n2,1,1,0,1\n")
    refused("line 3: at is before", trace=head + "0,1,1,5,1\n1,1,1,4,1\n")
    refused("lt is negative", trace=head + "0,1,1,0,-1\n")
    refused("cpu is no whole number", trace=head + "0,0,1,0,1\n")
    refused("cpu is no whole number", trace=head + "0,nan,1,0,1\n".replace("nan", "1.5"))
    refused("five numbers", trace=head + "0,nan,1,0,1\n")
    refused("five numbers", trace=head + "0,1,1,0\n")
    refused("mem is no number", trace=head + "0,1,0,0,1\n")
    refused("longer than 511", trace=head + "0" * 600 + "\n")
    refused("do not fit an empty server", trace=head + "".join(f"{n},30,9,0,1\n" for n in range(3)) + "".join(f"{n},41,9,0,1\n" for n in range(3, 60)))
    refused("the trace ends", trace=head + "0,1,1,0,1\n")
    refused("beyond the last row", windows="999999\n")
    refused("no row number", windows="-1\n")
    refused("no row number", windows="x\n")
    refused("there are no rows", windows="")
    refused("broken or cut off", trace=gzip.compress(TRACE.read_bytes())[:2000])
    refused("is not known; there are", "--policy", "best")
    refused("a weight is a number from 0", "--weights", "nan")
    refused("a weight is a number from 0", "--weights", "-1")
    refused("numbers with commas", "--weights", "a")
    refused("whole number from 1 to 8", "--cells", "0")
    refused("head-of-line", "--queue", "fair")
    refused("two cells only", "--cells", "1", "--policy", "paper-balance-fit")
    assert "No such file" in run("--trace", "/nonexistent", "--windows", WINDOWS, "--servers", 1).stderr


if __name__ == "__main__":
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "passed")
