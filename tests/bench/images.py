#!/usr/bin/env python3
"""Births of one cold image on one node at once, nginx with a limited rate as the link: what the origin sent, and how long until all run against
one cold birth and as many warm ones ("their creates"). Guests are simulated, their creates take --create-ms each: what is measured is the
fetching. With --driver libvirt they are real, with the tiny guest's kernel beside the cold disk (few births then: each boots under TCG or KVM).

Prints one JSON object.
  MAYFLY_BIN=build/release/bin tests/bench/images.py [--births 50] [--mib 200] [--rate-mib 20] [--driver null|libvirt]"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cluster import Cluster  # noqa: E402
from origin import Origin  # noqa: E402


def add(cluster, origin, name, mib, boots):
    digest = origin.disk(name, mib)
    files = ["--disk", origin.url(f"slow/{name}"), "--disk-digest", digest, "--disk-format", "raw"] if boots else ["--url", origin.url(f"slow/{name}"), "--digest", digest, "--disk-format", "raw"]
    root = os.environ.get("MAYFLY_IMAGE_ROOT", "")
    cmdline = pathlib.Path(__file__).resolve().parents[2] / "deploy/images/tiny/cmdline"
    kernel = ["--image-root", root, "--kernel", "tiny/vmlinuz", "--initrd", "tiny/initrd", "--cmdline", cmdline.read_text().strip()] if boots else []
    cluster.ok("image", "add", name, *kernel, *files)


def seconds_to_run(cluster, group, image, count):
    """From the provision's row until the last instance.running, by the log."""
    since = cluster.newest() + 1
    cluster.ok("provision", "--group", group, "--image", image, "--offering", "cold", "--count", count)
    rows = cluster.wait_events("instance.running", count, since, timeout=600)
    (begun,) = [e for e in cluster.events("--filter", "group.created", "--from", since) if e["subject"].endswith(group)]
    cluster.ok("destroy", group, "--wait", timeout=300)
    return (rows[-1]["time_ms"] - begun["time_ms"]) / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--births", type=int, default=50)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--rate-mib", type=int, default=20)
    parser.add_argument("--create-ms", type=int, default=350)
    parser.add_argument("--driver", default="null")
    o = parser.parse_args()
    real = o.driver != "null"
    state, folder = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp")), tempfile.mkdtemp(prefix="mf-origin-", dir="/tmp")
    os.chmod(folder, 0o755)
    origin = Origin(folder, rate=f"{o.rate_mib}m")
    script = [] if real else ["--agent-arg=--null-script", f"--agent-arg=create={o.create_ms}"]
    cluster = Cluster(state, 1, o.driver, up_args=[*script, "--agent-arg=--vcpus", f"--agent-arg={o.births * 2}", "--agent-arg=--memory-mib", f"--agent-arg={o.births * 256}"])
    try:
        cluster.up()
        cluster.ok("offering", "add", "cold", "--vcpus", 1, "--memory-mib", 64, "--disk-mib", o.mib + 64)
        for name in ("alone", "many"):
            add(cluster, origin, name, o.mib, real)
        one, many = seconds_to_run(cluster, "alone", "alone", 1), seconds_to_run(cluster, "many", "many", o.births)
        warm_one, warm = seconds_to_run(cluster, "warm-one", "many", 1), seconds_to_run(cluster, "warm", "many", o.births)
        sent = [r for r in origin.requests("many")]
        print(json.dumps({"bench": "image-cold", "driver": o.driver, "births": o.births, "image_mib": o.mib, "link_mib_s": o.rate_mib,
                          "create_ms": None if real else o.create_ms, "requests": len(sent), "copies_sent": round(sum(r[2] for r in sent) / (o.mib << 20), 3),
                          "one_s": round(one, 2), "all_s": round(many, 2), "warm_one_s": round(warm_one, 2), "warm_all_s": round(warm, 2),
                          "all_less_creates_against_one": round((many - (warm - warm_one)) / one, 3)}))
    finally:
        cluster.down()
        origin.end()
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
