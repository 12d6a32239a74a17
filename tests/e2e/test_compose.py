"""deploy/compose.yaml brought up and down by docker-compose over podman's service, with the very commands that docs/CONTAINERS.md gives."""
import json
import os
import re
import shlex
import shutil
import subprocess
import uuid

import pytest

import containers
from cluster import wait_until
from containers import IMAGES, ROOT, pid_space, podman, processes_with

COMPOSE = "docker-compose -f deploy/compose.yaml"


def documented(start):
    """The one line of docs/CONTAINERS.md that starts so, as words."""
    (line,) = [line for line in (ROOT / "docs/CONTAINERS.md").read_text().splitlines() if line.startswith(start)]
    return shlex.split(line.rstrip(" &"))


def missing():
    """Why it can't be tried here; None if it can."""
    if not shutil.which("docker-compose"):
        return "no docker-compose: deploy/packages.sh container"
    return containers.missing()


def free_subnet():
    """Three numbers that no network of this machine begins with."""
    used = subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=True).stdout + \
        subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    return next(subnet for subnet in (f"10.89.{n}" for n in range(190, 250)) if not re.search(rf"\b{re.escape(subnet)}\.", used))


class Compose:
    """A project of its own, in a network of its own, by an engine of its own."""

    def __init__(self, folder):
        self.project, self.socket = f"mf{uuid.uuid4().hex[:8]}", folder / "podman.sock"
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", COMPOSE_PROJECT_NAME=self.project, MAYFLY_SUBNET=free_subnet(),
                        MAYFLY_PREFIX=containers.PREFIX, MAYFLY_IMAGES=str(IMAGES))
        self.said = open(folder / "service.log", "wb+")
        *words, address = documented("podman --runtime runc system service")
        assert address.startswith("unix://")
        self.service = subprocess.Popen([*words, self.env["DOCKER_HOST"]], env=self.env, stdout=self.said, stderr=self.said)
        wait_until(lambda: self.socket.exists() or self.service.poll() is not None, 30, "podman's service listens")

    def __call__(self, words, *more, timeout=180, check=True):
        done = subprocess.run([*words, *map(str, more)], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"{' '.join(words)} {more}: exit {done.returncode}: {done.stderr[-3000:]}{done.stdout[-3000:]}"
        return done.stdout

    def mayfly(self, *words, **more):
        prefix = documented(f"{COMPOSE} run")
        return self(prefix[:prefix.index("mayfly") + 1], *words, **more)

    def containers(self):
        """{service: what podman tells of its container}, whether it runs or not."""
        ids = podman("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").stdout.split()
        told = json.loads(podman("container", "inspect", *ids).stdout) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in told}

    def logs(self):
        return "\n".join(f"--- {service}\n{(done := podman('logs', one['Id'], check=False)).stdout[-3000:]}{done.stderr[-3000:]}"
                         for service, one in self.containers().items())

    def left(self):
        named = [line for kind in ("network", "volume") for line in podman(kind, "ls", "--format", "{{.Name}}").stdout.split()
                 if line.startswith(self.project)]
        return [*self.containers(), *named]

    def end(self):
        """Whatever went wrong: nothing of it stays."""
        ids = [one["Id"] for one in self.containers().values()]
        if ids:
            podman("rm", "--force", "--time", 0, "--volumes", *ids, check=False)
        for name in self.left():
            podman("network" if name.endswith("_mayfly") else "volume", "rm", "--force", name, check=False)
        self.service.terminate()
        self.service.wait(30)
        self.said.close()


@pytest.fixture
def compose(request, tmp_path):
    why = missing()
    if why:
        pytest.skip(f"{containers.NO_CONTAINERS}: {why}")
    containers.build_images()
    project = Compose(tmp_path)
    try:
        yield project
    finally:
        if getattr(request.node, "failed", False):
            print(project.logs())
        project.end()


def nodes(c):
    out = c.mayfly("nodes", "--output", "json", check=False)
    return {row["name"]: row["state"] for row in json.loads(out)} if out.strip() else {}


def guests(c):
    """The services whose containers truly run a guest."""
    spaces = {pid_space(one["State"]["Pid"]): service for service, one in c.containers().items() if one["State"]["Pid"]}
    return [spaces[space] for pid, _ in processes_with("qemu-system") if (space := pid_space(pid)) in spaces]


def test_compose(compose):
    c = compose
    up = documented(f"{COMPOSE} up")
    c(up)
    workers = {"node-0", "node-1", "node-2"}
    made = c.containers()
    assert set(made) == {"keys", "broker", "health", *workers}
    assert made["keys"]["State"]["ExitCode"] == 0
    wait_until(lambda: nodes(c) == dict.fromkeys(workers, "ready"), 90, "three nodes are ready")
    assert "node-0" in c(documented(f"{COMPOSE} run"))
    c.mayfly("status")  # which fails where no monitor is heard

    c.mayfly("offering", "add", "small", "--vcpus", 1, "--memory-mib", 128, "--disk-mib", 64)
    c.mayfly("image", "add", "tiny", "--image-root", "/var/lib/mayfly-images", "--kernel", "tiny/vmlinuz", "--initrd", "tiny/initrd", "--cmdline",
             (IMAGES / "tiny/cmdline").read_text().strip())
    c.mayfly("provision", "--group", "web", "--count", 1, "--image", "tiny", "--offering", "small", "--wait", "--timeout", 120)
    (instance,) = json.loads(c.mayfly("instances", "--group", "web", "--output", "json"))
    assert instance["state"] == "running"
    assert guests(c) == [instance["node"]], "it runs where the broker says, as a process of that container"

    c(up)  # changes nothing where nothing has changed
    assert {service: one["Id"] for service, one in c.containers().items()} == {service: one["Id"] for service, one in made.items()}
    assert len(guests(c)) == 1

    c(documented(f"{COMPOSE} down"))
    assert c.left() == []
    assert guests(c) == []
