"""The units of deploy/systemd under a real systemd: PID 1 of a container that is a small Debian, with the programs of the images. They are
installed by the very commands that docs/CONTAINERS.md gives."""
import fcntl
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import uuid

import pytest

import containers
from cluster import wait_until
from containers import IMAGES, PREFIX, ROOT, podman

NEEDS = ["image", "image-broker", "image-health", "image-worker", "image-qemu", "machine"]
CACHE = ROOT / "build/container"
SYSTEMD = "/lib/systemd/systemd"
# systemd's units shut themselves in, for which PID 1 needs what a machine's has; devices and network are the container's own.
BOOT = ("--systemd", "always", "--network", "none", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--cap-add", "all",
        "--security-opt", "seccomp=unconfined", "--no-healthcheck", "--label", containers.LABEL)
UNITS = ("mayfly-broker", "mayfly-health", "mayfly-worker")


def machine_root():
    """The files of the machine that boots: made once for its list of packages, as build.sh does with the images'."""
    CACHE.mkdir(parents=True, exist_ok=True)
    root, kept = CACHE / "roots/machine", CACHE / "roots/machine.key"
    script = ROOT / "deploy/container/rootfs.sh"
    packages = subprocess.run([ROOT / "deploy/packages.sh", "--list", *NEEDS], capture_output=True, check=True).stdout
    key = hashlib.sha256(script.read_bytes() + packages).hexdigest()
    with open(CACHE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists() or kept.read_text() != key:
            kept.unlink(missing_ok=True)
            done = subprocess.run([script, root, *NEEDS], capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stderr[-4000:]
            (root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")  # it has been booted before, and asks nobody anything
            kept.write_text(key)
    return root


def programs(folder):
    """The programs, as the images hold them."""
    for image in ("broker", "health", "worker"):
        made = podman("create", "--network", "none", f"{PREFIX}-{image}").stdout.strip()
        try:
            podman("cp", f"{made}:/usr/bin/.", folder / image)
        finally:
            podman("rm", "--volumes", made)
    return {path.name: path for path in folder.glob("*/mayfly*")}


class Machine:
    """What it writes is thrown away with it."""

    def __init__(self, folder):
        self.name = f"mf{uuid.uuid4().hex[:8]}"
        mounts = [word for name, path in programs(folder).items() for word in ("--volume", f"{path}:/usr/bin/{name}:ro")]
        podman("run", "--detach", "--name", self.name, *BOOT, *mounts, "--volume", f"{ROOT}/deploy:/src/deploy:ro", "--volume",
               f"{IMAGES}:/var/lib/mayfly-images:ro", "--rootfs", f"{machine_root()}:O", SYSTEMD)

    def __call__(self, *command, check=True, timeout=180):
        done = podman("exec", "--workdir", "/src", "--env", "MAYFLY_BROKER=tcp://127.0.0.1:7100", "--env", "MAYFLY_KEY=/root/admin.cert_secret", self.name,
                      *command, check=False, timeout=timeout)
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def show(self, unit, what):
        return self("systemctl", "show", "--property", what, "--value", unit).strip()

    def rows(self, *words):
        return json.loads(self("mayfly", *words, "--output", "json", check=False) or "[]")

    def node(self):
        return next(iter(self.rows("nodes")), {})

    def running(self):
        return {row["id"] for row in self.rows("instances") if row["state"] == "running"}

    def pids(self, program):
        return set(self("pidof", program, check=False).split())

    def journal(self):
        return self("journalctl", "--no-pager", "--lines", "200", check=False)

    def end(self):
        podman("rm", "--force", "--time", 0, "--volumes", self.name, check=False)


def missing():
    """Why it can't be tried here; None if it can."""
    if why := containers.missing():
        return why
    probe = f"mfprobe{uuid.uuid4().hex[:8]}"
    try:
        tried = podman("run", "--detach", "--name", probe, *BOOT, "--rootfs", f"{machine_root()}:O", SYSTEMD, check=False)
        if tried.returncode:
            return f"podman run --systemd: {tried.stderr.strip()}"
        wait_until(lambda: podman("exec", probe, "systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded") or
                   not running(probe), 60, "systemd is up or has given up")
        return None if running(probe) else f"systemd does not run in a container here: {podman('logs', probe, check=False).stdout[-500:]}"
    finally:
        podman("rm", "--force", "--time", 0, "--volumes", probe, check=False)


def running(name):
    return podman("inspect", "--format", "{{.State.Running}}", name, check=False).stdout.strip() == "true"


@pytest.fixture
def machine(request):
    why = missing()
    if why:
        pytest.skip(f"{containers.NO_CONTAINERS}: {why}")
    containers.build_images()
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        made = Machine(pathlib.Path(folder))
        try:
            wait_until(lambda: made("systemctl", "is-system-running", check=False).strip() == "running", 60, "the machine is up")
            yield made
        finally:
            if getattr(request.node, "failed", False):
                print(made.journal())
            made.end()


def documented():
    """The block of docs/CONTAINERS.md that installs the units."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/CONTAINERS.md").read_text(), re.M | re.S)
    (block,) = [block for block in blocks if "deploy/systemd" in block]
    return block


def test_units(machine):
    m = machine
    m("sh", "-exc", documented())  # ends when each has said READY=1
    for unit in UNITS:
        assert (m.show(unit, "Type"), m.show(unit, "ActiveState"), m.show(unit, "SubState")) == ("notify", "active", "running")
        assert m.show(unit, "UnitFileState") == "enabled"
        assert m.show(unit, "WatchdogTimestampMonotonic") != "0", f"systemd watches over {unit}"
        status = m("cat", f"/proc/{m.show(unit, 'MainPID')}/status")
        assert re.search(r"NoNewPrivs:\s+1\n(.*\n)*Seccomp:\s+2\n", status), f"{unit} is shut in"
    wait_until(lambda: m.node().get("state") == "ready", 60, "its node is ready")
    m("mayfly", "status")  # which fails where no monitor is heard

    # a guest, born under the unit's restrictions; it lives through a restart of its worker
    m("mayfly", "offering", "add", "small", "--vcpus", "1", "--memory-mib", "128", "--disk-mib", "64")
    m("mayfly", "image", "add", "tiny", "--image-root", "/var/lib/mayfly-images", "--kernel", "tiny/vmlinuz", "--initrd", "tiny/initrd",
      "--cmdline", (IMAGES / "tiny/cmdline").read_text().strip())
    m("mayfly", "provision", "--group", "web", "--count", "1", "--image", "tiny", "--offering", "small", "--wait", "--timeout", "120")
    guests, ids, epoch = m.pids("qemu-system-x86_64"), m.running(), m.node()["epoch"]
    assert len(guests) == len(ids) == 1
    m("systemctl", "restart", "mayfly-worker")
    wait_until(lambda: m.node()["epoch"] > epoch and m.running() == ids, 60, "its worker is back and has found it")
    assert m.pids("qemu-system-x86_64") == guests

    # whoever hangs is ended by the watchdog, and started again
    before = m.show("mayfly-health", "MainPID")
    m("kill", "-STOP", before)
    wait_until(lambda: m.show("mayfly-health", "NRestarts") == "1" and m.show("mayfly-health", "ActiveState") == "active", 60, "the watchdog's work")
    assert m.show("mayfly-health", "MainPID") != before
    assert "Watchdog timeout" in m.journal()

    # stopped in order: the guest lives on
    for unit in reversed(UNITS):
        m("systemctl", "stop", unit)
        assert (m.show(unit, "ActiveState"), m.show(unit, "Result"), m.show(unit, "ExecMainStatus")) == ("inactive", "success", "0")
    assert m.pids("qemu-system-x86_64") == guests
    assert not m.pids("mayfly-keeper") | m.pids("mayfly-agent") | m.pids("mayfly-broker") | m.pids("mayfly-health")
