#!/usr/bin/env python3
"""A warm birth of the tiny guest: from the request until instance.ready is received, one at a time; beside it, in turn, QEMU started by hand with the
same machine until the same line came by the same port; and what a create costs in libvirt alone (bench-create's plain loop, with its overlay and seed).
What Mayfly may take: QEMU's own time + 15 % + libvirt's cost.

Prints one JSON object.
  MAYFLY_BIN=build/release/bin MAYFLY_IMAGE_ROOT=build/release/images tests/bench/warm_birth.py [--births 10]"""
import argparse
import json
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import BIN, MAYFLY, Cluster  # noqa: E402
from orders import percentile  # noqa: E402

TINY = pathlib.Path(os.environ["MAYFLY_IMAGE_ROOT"]) / "tiny"


def follow(cluster, came):
    process = subprocess.Popen([MAYFLY, "events", "--follow", "--from", str(cluster.newest() + 1), "--filter", "instance.ready", "-o", "json"],
                               env=cluster.env, stdout=subprocess.PIPE, text=True)

    def read():
        for line in process.stdout:
            came.put((time.monotonic(), json.loads(line)))

    threading.Thread(target=read, daemon=True).start()
    return process


def birth(cluster, came, n):
    began = time.monotonic()
    cluster.ok("provision", "--group", f"warm-{n}", "--count", 1, "--image", "tiny", "--offering", "small", "--ready", "port")
    at, _ = came.get(timeout=120)
    cluster.ok("destroy", f"warm-{n}", "--wait", timeout=120)
    return (at - began) * 1000


def by_hand(scratch):
    """QEMU with the devices of a guest of Mayfly's, as the domain's XML has them; disk and seed are made before."""
    disk, seed, port = scratch / "disk.qcow2", scratch / "seed.iso", scratch / "ready.sock"
    for path in (disk, port):
        path.unlink(missing_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    (scratch / "meta-data").write_text("instance-id: raw\n")
    (scratch / "user-data").write_text("")
    subprocess.run(["genisoimage", "-quiet", "-output", seed, "-volid", "cidata", "-joliet", "-rock", scratch / "meta-data", scratch / "user-data"], check=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(port))
    listener.listen()
    command = ["qemu-system-x86_64", "-machine", "q35,usb=off,hpet=off", "-accel", "tcg", "-cpu", "qemu64", "-m", "128", "-smp", "1", "-nodefaults",
               "-no-user-config", "-display", "none", "-kernel", TINY / "vmlinuz", "-initrd", TINY / "initrd", "-append",
               (TINY / "cmdline").read_text().strip(), "-drive", f"file={disk},if=none,id=d,format=qcow2,cache=unsafe,discard=unmap",
               "-device", "virtio-blk-pci,drive=d", "-drive", f"file={seed},if=none,id=s,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=s",
               "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile=", "-device", "virtio-serial-pci", "-chardev", f"socket,id=r,path={port}",
               "-device", "virtserialport,chardev=r,name=org.mayfly.ready", "-device", "pvpanic", "-serial", f"file:{scratch / 'console.log'}"]
    began = time.monotonic()
    process = subprocess.Popen(list(map(str, command)))
    try:
        connection, _ = listener.accept()
        assert connection.recv(16).startswith(b"ready")
        return (time.monotonic() - began) * 1000
    finally:
        process.kill()
        process.wait()
        listener.close()


def plain_create(cluster, scratch):
    done = subprocess.run([BIN.parent / "bench" / "bench-create", cluster.env["MAYFLY_BROKER"], cluster.env["MAYFLY_KEY"], scratch, TINY / "vmlinuz",
                           TINY / "initrd", "7"], env=cluster.env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["plain_ms_p50"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--births", type=int, default=10)
    options = parser.parse_args()
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster, came, follower, mayfly, raw = Cluster(state, 1, "libvirt", up_args=["--domain-type", "qemu"]), queue.Queue(), None, [], []
    try:
        cluster.up()
        scratch, plain = state / "raw", state / "plain"
        scratch.mkdir()
        plain.mkdir()
        follower = follow(cluster, came)
        birth(cluster, came, "up")  # caches are warm after it
        by_hand(scratch)
        for n in range(options.births):
            raw.append(by_hand(scratch))
            mayfly.append(birth(cluster, came, n))
        create = plain_create(cluster, plain)
        bound = percentile(raw, .5) * 1.15 + create
        print(json.dumps({"bench": "warm-birth", "births": options.births, "raw_ms_p50": round(percentile(raw, .5)), "libvirt_create_ms_p50": round(create),
                          "mayfly_ms_p50": round(percentile(mayfly, .5)), "mayfly_ms_max": round(max(mayfly)), "bound_ms": round(bound),
                          "within": percentile(mayfly, .5) <= bound}))
    finally:
        if follower:
            follower.kill()
        cluster.down()
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
