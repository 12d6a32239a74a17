#!/usr/bin/env python3
"""Workers as containers, with podman and runc: how long a cluster takes to come up, what a restart costs, and how soon the guests of a killed
worker run elsewhere. Prints one JSON object. Needs root and the images of deploy/container/build.sh.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/containers.py up|restart|kill [--rounds N]"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import containers  # noqa: E402
from cluster import BIN, wait_until  # noqa: E402
from containers import IMAGES, PREFIX, ROOT, Containers, HostLibvirt, host_worker, podman  # noqa: E402
from orders import percentile  # noqa: E402

WEB = ["provision", "--group", "web", "--image", "tiny", "--offering", "small"]


def up(options):
    """The script that does what compose does: from its call until the first instance runs; then everything is taken away again."""
    script, name, took = ROOT / "deploy/container/up.sh", f"mfbench{os.getpid()}", []
    for _ in range(options.rounds or 3):
        try:
            said = subprocess.run([script, "--demo", "--name", name, "--prefix", PREFIX, "--runtime", "runc"], capture_output=True, text=True, timeout=300)
            assert said.returncode == 0, said.stderr + said.stdout
            took.append(int(re.search(r"\[ *(\d+) ms\] the first instance runs", said.stdout)[1]))
        finally:
            subprocess.run([script, "down", "--volumes", "--name", name], capture_output=True, timeout=120)
    return {"bench": "container-up", "rounds": len(took), "first_instance_ms_p50": round(percentile(took, .5)), "first_instance_ms_max": max(took)}


def cluster_of(nodes, use, libvirt=False):
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    state.chmod(0o755)
    c = Containers(state, nodes(state))
    c.libvirt = HostLibvirt(state / "libvirt") if libvirt else None
    try:
        if libvirt:
            c.libvirt.start()
        c.up()
        return use(c)
    except BaseException:
        c.print_logs()
        raise
    finally:
        c.down()
        if libvirt:
            c.libvirt.end()
        shutil.rmtree(state, ignore_errors=True)


def restart(options):
    """podman restart of a worker on the host's libvirt with ten guests; another worker stands by with room for all of them."""
    rounds = options.rounds or 10

    def use(c):
        c.ok("cordon", "w1")
        c.ok(*WEB, "--count", 10, "--wait", timeout=300)
        c.ok("uncordon", "w1")
        lost, took, before, since = 0, [], c.libvirt.guests(), c.newest() + 1
        for _ in range(rounds):
            epoch, began = c.nodes_by_name()["w0"]["epoch"], time.monotonic()
            c.restart("w0")
            wait_until(lambda: (n := c.nodes_by_name()["w0"])["epoch"] > epoch, 60, "w0 is back")
            took.append((time.monotonic() - began) * 1000)
            c.run("uncordon", "w0")
            c.wait_ready("w0")
            wait_until(lambda: len(c.running("web")) == 10, 60, "ten run")
            lost += len(before.items() - c.libvirt.guests().items())
            before = c.libvirt.guests()
        failed = len(c.events("--from", since, "--filter", "node.failed"))
        return {"bench": "container-restart", "rounds": rounds, "guests": 10, "lost": lost, "taken_for_dead": failed, "back_ms_p50": round(percentile(took, .5)),
                "back_ms_max": round(max(took))}

    return cluster_of(lambda state: {"w0": host_worker(state, "w0", "--pid", "host"), "w1": {}}, use, libvirt=True)


def raw_creates(count):
    """In a container of the same image, so with the same libvirt and QEMU, without Mayfly."""
    with tempfile.TemporaryDirectory(prefix="mf-", dir="/tmp") as scratch:
        done = podman("run", "--rm", "--network", "none", "--label", containers.LABEL, "--read-only", *containers.LIMITS, *containers.RIGHTS,
                      "--volume", f"{BIN.parent}/bench/bench-raw:/usr/bin/bench-raw:ro", "--volume", f"{scratch}:/scratch",
                      "--volume", f"{IMAGES}:/images:ro", "--entrypoint", "/usr/bin/bench-raw", f"{PREFIX}-worker-qemu", "/scratch",
                      "/images/tiny/vmlinuz", "/images/tiny/initrd", count, 4, timeout=300)
        return json.loads(done.stdout)


def kill(options):
    """podman kill of a worker with five guests that have booted; the others have room. Timed from before the command until the fifth successor
    runs, by the broker's clock, which is this machine's."""
    rounds, took, failed, serial, at_once = options.rounds or 5, [], [], [], []

    def use(c):
        for n in range(rounds):
            raw = raw_creates(5)
            serial.append(raw["one_after_another_ms"])
            at_once.append(raw["at_once_ms"])
            group = f"web{n}"
            for node in ("w1", "w2"):
                c.ok("cordon", node)
            c.ok(*["provision", "--group", group, "--image", "tiny", "--offering", "small"], "--count", 5, "--wait", timeout=300)
            for node in ("w1", "w2"):
                c.ok("uncordon", node)
            old = {r["id"] for r in c.running(group)}
            wait_until(lambda: all("mayfly: ready" in c.run("logs", i).out for i in old), 120, "all five have booted")
            since, struck = c.newest() + 1, time.time() * 1000
            c.do("kill", "w0")
            wait_until(lambda: len(rows := c.running(group)) == 5 and not old & {r["id"] for r in rows}, 60, "five run elsewhere")
            events = c.events("--from", since)
            failed.append(next(e["time_ms"] for e in events if e["type"] == "node.failed") - struck)
            took.append(max(e["time_ms"] for e in events if e["type"] == "instance.running") - struck)
            c.ok("destroy", group, "--wait", timeout=120)
            c.do("start", "w0")
            wait_until(lambda: (n := c.nodes_by_name()["w0"])["state"] in ("joining", "ready"), 60, "w0 is back")
            c.run("uncordon", "w0")
            c.wait_ready("w0")
        floor, above = percentile(serial, .5), percentile(took, .5)
        return {"bench": "container-kill", "rounds": rounds, "guests": 5, "failed_ms_p50": round(percentile(failed, .5)), "running_ms_p50": round(above),
                "running_ms_max": round(max(took)), "raw_one_after_another_ms_p50": round(floor), "raw_at_once_ms_p50": round(percentile(at_once, .5)),
                "allowed_ms": round(1.2 * floor + 1000)}

    return cluster_of(lambda state: {"w0": {}, "w1": {}, "w2": {}}, use)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("up", "restart", "kill"))
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    why = containers.missing()
    if why:
        sys.exit(f"{containers.NO_CONTAINERS}: {why}")
    containers.build_images()
    print(json.dumps({"up": up, "restart": restart, "kill": kill}[options.what](options)))


if __name__ == "__main__":
    main()
