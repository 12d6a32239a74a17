#!/usr/bin/env python3
"""The law of the house, checked: who may include whom (docs/ARCHITECTURE.md). A core knows no world; libvirt and SQLite have one room each."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = {  # folder: folders whose headers it may include
    "protocol": set(),
    "protocol/system": {"protocol"},
    "protocol/http": {"protocol"},
    "protocol/transport": {"protocol", "protocol/system"},
    "broker/placement": {"protocol"},
    "broker/core": {"protocol", "broker/placement"},
    "broker/edge": {"protocol", "protocol/system", "protocol/http", "protocol/transport", "broker/placement", "broker/core", "broker/edge/store"},
    "broker/edge/store": {"protocol"},
    "broker/plan": {"protocol", "protocol/transport", "protocol/system", "broker/core", "broker/placement", "broker/edge", "broker/edge/store"},
    "worker/keeper": {"protocol", "protocol/system", "worker/shell", "worker/keeper/lease"},
    "worker/keeper/lease": {"protocol"},
    "worker/core": {"protocol"},
    "worker/driver": {"protocol", "worker/shell"},
    "worker/shell": {"protocol"},
    "worker/edge": {"protocol", "protocol/system", "protocol/http", "protocol/transport", "worker/core", "worker/driver", "worker/keeper"},
    "health/core": {"protocol"},
    "health/edge": {"protocol", "protocol/system", "protocol/http", "protocol/transport", "health/core"},
    "client/lib": {"protocol", "protocol/transport"},
    "client/cli": {"protocol", "protocol/transport", "client/lib"},
}
CORES = {"broker/placement", "broker/core", "worker/core", "worker/keeper/lease", "health/core"}
CORE_SYSTEM = {"stdbool.h", "stddef.h", "stdint.h", "inttypes.h", "string.h", "stdlib.h", "stdio.h", "errno.h", "limits.h", "stdarg.h", "math.h", "sys/queue.h"}
WORLD_CALLS = re.compile(r"\b(time|clock_gettime|gettimeofday|rand|random|getrandom|fopen|open|socket|pthread_create|getenv|usleep|sleep)\s*\(")
COMMENT_OR_STRING = re.compile(r'"(\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)
ONLY = [(re.compile(r"libvirt/"), "worker/driver"), (re.compile(r"sqlite3\.h"), "broker/edge/store"), (re.compile(r"microhttpd\.h"), "protocol/http"), (re.compile(r"zmq\.h|czmq\.h"), None)]
WORKER_EDGE_HEADERS = {"keeper_wire.h"}  # all the agent may know of its keeper


def files():
    names = []
    if shutil.which("git"):
        names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not names:  # an unpacked archive, or a machine without git
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.[ch]") if p.relative_to(ROOT).parts[0] != "build"]
    return [n for n in names if (ROOT / n).exists()]


def room_of(name):
    folder = str(pathlib.PurePath(name).parent)
    while folder not in ROOMS and "/" in folder:
        folder = folder.rsplit("/", 1)[0]
    return folder if folder in ROOMS else None


def main():
    names = files()
    headers = {}
    for name in names:
        if name.endswith(".h") and room_of(name):
            headers.setdefault(pathlib.PurePath(name).name, set()).add(room_of(name))
    wrong = []
    for name in names:
        room = room_of(name)
        if not room:
            continue
        text = (ROOT / name).read_text(errors="replace")
        code = COMMENT_OR_STRING.sub(lambda m: "\n" * m[0].count("\n"), text).splitlines()
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                kind, what = match.groups()
                base = pathlib.PurePath(what).name
                if kind == '"' and base in headers and not headers[base] & ({room} | ROOMS[room]):
                    wrong.append(f"{name}:{number}: {room} may not include {what} of {', '.join(headers[base])}")
                if kind == '"' and ".." in what:
                    wrong.append(f"{name}:{number}: include by target, not by path: {what}")
                if room == "worker/edge" and headers.get(base) == {"worker/keeper"} and base not in WORKER_EDGE_HEADERS:
                    wrong.append(f"{name}:{number}: the agent knows its keeper by {WORKER_EDGE_HEADERS} only")
                for pattern, owner in ONLY:
                    allowed = room == owner if owner else room in ("protocol/transport", "broker/edge", "worker/edge", "health/edge", "client/lib")
                    if kind == "<" and pattern.search(what) and not allowed:
                        wrong.append(f"{name}:{number}: {room} may not include <{what}>")
                if room in CORES and kind == "<" and what not in CORE_SYSTEM:
                    wrong.append(f"{name}:{number}: a core knows no world: <{what}>")
            elif room in CORES and number <= len(code) and WORLD_CALLS.search(code[number - 1]):
                wrong.append(f"{name}:{number}: a core knows no world: {line.strip()}")
    print("\n".join(wrong) or f"{len(names)} files, every include is allowed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
