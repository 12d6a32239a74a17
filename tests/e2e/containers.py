"""A cluster of containers, made with podman and runc as a user would: a broker, a monitor and workers on a private network, keys on, no
port published. The command line runs on this machine, which is on that network as well.

Everything carries the cluster's label and is ended by it; nothing else is ever touched."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import uuid

from cluster import Cluster, cmdline, processes_with, wait_until

NO_CONTAINERS = "NO CONTAINERS HERE"  # ctest shows a test that says so as skipped
ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFIX = os.environ.get("MAYFLY_CONTAINER_PREFIX", "localhost/mayfly")
IMAGES = pathlib.Path(os.environ.get("MAYFLY_IMAGE_ROOT", "/var/lib/mayfly-images"))
LABEL = "mayfly-test"
UID = 7100  # of broker and monitor in their images
PROGRAMS = ("podman", "runc", "buildah", "mmdebstrap", "nsenter", "ip")


def podman(*args, timeout=120, check=True):
    done = subprocess.run(["podman", "--runtime", "runc", *map(str, args)], capture_output=True, text=True, timeout=timeout)
    assert not check or done.returncode == 0, f"podman {' '.join(map(str, args))}: exit {done.returncode}: {done.stderr}{done.stdout}"
    return done


def build_images():
    """Once in a session; a second build with nothing changed takes seconds."""
    if "MAYFLY_CONTAINER_PREFIX" in os.environ:
        return
    own = ["--bin", os.environ["MAYFLY_RELEASE_BIN"]] if "MAYFLY_RELEASE_BIN" in os.environ else []
    done = subprocess.run([ROOT / "deploy/container/build.sh", *own], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, f"deploy/container/build.sh: {done.stderr[-4000:]}"


def missing():
    """Why containers can't be run here; None if they can. Asks for the runtime alone: images that can't be built are no reason to skip."""
    if os.geteuid() != 0:
        return "not root"
    for program in PROGRAMS:
        if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            return f"no {program}: deploy/packages.sh container"
    name, root = f"mfprobe{os.getpid()}", pathlib.Path(f"/run/mfprobe{os.getpid()}")
    try:
        made = podman("network", "create", "--label", LABEL, name, check=False)
        if made.returncode:
            return f"podman network create: {made.stderr.strip()}"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/true")
        tried = podman("run", "--rm", "--network", name, "--label", LABEL, *LIMITS, "--rootfs", root, "/bin/true", check=False)
        return f"podman run: {tried.stderr.strip()}" if tried.returncode else None
    finally:
        podman("network", "rm", "--force", name, check=False)
        shutil.rmtree(root, ignore_errors=True)


# No more rights than docs/CONTAINERS.md says; and where no systemd runs, podman has nobody to call a health check.
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096", "--cap-drop", "all", "--security-opt", "no-new-privileges",
          *([] if os.path.exists("/run/systemd/private") else ["--no-healthcheck"]))
RIGHTS = tuple(word for right in ("KILL", "IPC_LOCK", "SYS_NICE", "SETUID", "SETGID", "SETPCAP", "DAC_OVERRIDE") for word in ("--cap-add", right))


class Containers(Cluster):
    """nodes: {name: {"image": ..., "podman": [...], "keeper": [...], "agent": [...], "env": {...}}}, each with an embedded QEMU by default."""

    def __init__(self, state, nodes):
        super().__init__(state, len(nodes), "libvirt")
        self.id, self.specs = f"mf{uuid.uuid4().hex[:8]}", nodes
        self.label = f"{LABEL}={self.id}"

    # -- names and addresses
    def name(self, member):
        return f"{self.id}-{member}"

    def address(self, member):
        order = ["broker", "health-0", *self.specs]
        return self.subnet.rsplit(".", 1)[0] + f".{10 + order.index(member)}"

    def inspect(self, member):
        return json.loads(podman("container", "inspect", self.name(member)).stdout)[0]

    def container_pid(self, member):
        """The pid, here, of the container's PID 1; 0 while it does not run."""
        return self.inspect(member)["State"]["Pid"]

    # -- up and down
    def up(self):
        for folder in ("keys", "broker", "nodes", "log"):
            (self.state / folder).mkdir(mode=0o755)
        self.state.chmod(0o755)
        self.make_keys()
        podman("network", "create", "--label", self.label, self.id)
        self.subnet = json.loads(podman("network", "inspect", self.id).stdout)[0]["subnets"][0]["subnet"]
        self.env.update(MAYFLY_BROKER=f"tcp://{self.address('broker')}:7100", MAYFLY_KEY=str(self.state / "keys/admin.cert_secret"))
        self.run_broker()
        self.run_health()
        for node in self.specs:
            self.run_worker(node)
        wait_until(lambda: self.run("status").code == 0, 60, "the broker answers and a monitor is heard")
        self.offer()
        self.wait_ready(*self.specs)

    def make_keys(self):
        keys = self.state / "keys"
        self.ok("key", "init", keys)
        for role, name in (("operator", "admin"), ("monitor", "health-0"), *(("worker", node) for node in self.specs)):
            self.ok("key", "create", "--role", role, name, "--keys", keys)
        for path in (keys, *keys.rglob("*"), self.state / "broker"):
            os.chown(path, UID, UID)

    def start(self, member, image, *words, options=()):
        """words: what follows the image. A key is mounted as the images' settings name it."""
        podman("run", "--detach", "--name", self.name(member), "--hostname", member, "--label", self.label, "--network", self.id,
               "--ip", self.address(member), "--read-only", *LIMITS, *options, f"{PREFIX}-{image}", *words)

    def mount(self, source, target, how="rw"):
        return ("--volume", f"{source}:{target}:{how}")

    def run_broker(self):
        self.start("broker", "broker", options=[*self.mount(self.state / "keys", "/etc/mayfly/keys", "ro"),
                                                *self.mount(self.state / "broker", "/var/lib/mayfly")])

    def run_health(self):
        self.start("health-0", "health", "--broker", f"tcp://{self.address('broker')}:7100", "--pulse-advertise", f"{self.address('health-0')}:7711",
                   options=self.mount(self.state / "keys/health-0.cert_secret", "/etc/mayfly/keys/health.cert_secret", "ro"))

    def run_worker(self, node):
        spec = self.specs[node]
        home = self.state / "nodes" / node
        home.mkdir(exist_ok=True, mode=0o711)
        self.start(node, spec.get("image", "worker-qemu"), "--probe-bind", "0.0.0.0:7711", "--probe-host", self.address(node),
                   *spec.get("keeper", []), "--", "--config", "/etc/mayfly/agent.yaml", "--broker", f"tcp://{self.address('broker')}:7101",
                   *spec.get("agent", ["--domain-type", "qemu"]),
                   options=[*self.mount(self.state / "keys" / f"{node}.cert_secret", "/etc/mayfly/keys/node.cert_secret", "ro"),
                            *spec.get("rights", RIGHTS), *spec.get("podman", [*self.mount(home, "/var/lib/mayfly"), *self.mount(IMAGES, "/var/lib/mayfly-images", "ro")])])

    def offer(self):
        tiny = IMAGES / "tiny"
        self.ok("offering", "add", "small", "--vcpus", 1, "--memory-mib", 128, "--disk-mib", 64)
        self.ok("image", "add", "tiny", "--image-root", IMAGES, "--kernel", "tiny/vmlinuz", "--initrd", "tiny/initrd", "--cmdline",
                (tiny / "cmdline").read_text().strip())

    def wait_ready(self, *nodes, timeout=120):
        wait_until(lambda: all(self.state_of(node) == "ready" for node in nodes), timeout, f"{nodes} ready")

    def state_of(self, node):
        return self.nodes_by_name().get(node, {}).get("state")

    def down(self):
        names = podman("ps", "--all", "--quiet", "--filter", f"label={self.label}", check=False).stdout.split()
        for name in names:
            podman("unpause", name, check=False)
        if names:
            podman("rm", "--force", "--time", "0", "--volumes", *names, check=False)
        podman("network", "rm", "--force", self.id, check=False)

    def left(self):
        """What should be gone after down: containers, the network, guests."""
        containers = podman("ps", "--all", "--quiet", "--filter", f"label={self.label}").stdout.split()
        networks = podman("network", "ls", "--quiet", "--filter", f"label={self.label}").stdout.split()
        return containers + networks + processes_with(str(self.state))

    # -- what a person does to them
    def stop(self, member, seconds):
        podman("stop", "--time", seconds, self.name(member), timeout=seconds + 60)

    def restart(self, member, seconds=10):
        podman("restart", "--time", seconds, self.name(member), timeout=seconds + 60)

    def do(self, verb, member):
        """kill, pause, unpause, start."""
        podman(verb, self.name(member))

    def veth(self, node):
        """The end of its cable that is plugged in here."""
        inside = subprocess.run(["nsenter", "--target", str(self.container_pid(node)), "--net", "ip", "-o", "link", "show", "eth0"],
                                capture_output=True, text=True, check=True).stdout
        index = re.search(r"eth0@if(\d+)", inside)[1]
        return next(path.parent.name for path in pathlib.Path("/sys/class/net").glob("*/ifindex") if path.read_text().strip() == index)

    def link(self, veth, up):
        subprocess.run(["ip", "link", "set", veth, "up" if up else "down"], check=True)

    def inside(self, member, *command, check=True):
        return podman("exec", self.name(member), *command, check=check)

    # -- what truly runs
    def qemus(self, node=""):
        """{uuid: pid} of the QEMU processes in the containers' pid namespaces, or in one's."""
        spaces = {pid_space(pid) for member in ([node] if node else self.specs) if (pid := self.container_pid(member))}
        found = {}
        for pid, line in processes_with("qemu-system"):
            words = line.split()
            if "-uuid" in words and pid_space(pid) in spaces:
                found[words[words.index("-uuid") + 1]] = pid
        return found

    # -- logs
    def log(self, member):
        done = podman("logs", self.name(member), check=False)
        return done.stdout + done.stderr

    def members(self):
        return ["broker", "health-0", *self.specs]

    def print_logs(self):
        for member in self.members():
            print(f"--- {member}\n" + self.log(member)[-6000:])

    def complaints(self):
        words = ("Sanitizer", "runtime error:", "panic")
        return [f"{member}: {line}" for member in self.members() for line in self.log(member).splitlines() if any(word in line for word in words)]


def pid_space(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def host_worker(state, node, *options):
    """A worker of way (a): the host's libvirt by its socket. Host and container name files alike, for QEMU is the host's."""
    home = state / "nodes" / node
    own = lambda path, how="rw": ("--volume", f"{path}:{path}:{how}")  # noqa: E731
    return {"image": "worker", "podman": ["--volume", f"{state}/libvirt/run:/run/libvirt", *own(home), *own(IMAGES, "ro"), *options],
            "agent": ["--state", home, "--image-root", IMAGES, "--uri", "qemu:///system", "--domain-type", "qemu", "--vcpus", "32",
                      "--memory-mib", "8192"]}


class HostLibvirt:
    """The host's libvirtd as a worker of way (a) finds it, with its files in a mount namespace of its own: whatever libvirt this machine
    has beside it is neither used nor touched. Its socket is at state/run/libvirt-sock."""

    DIRECTORIES = {"run": "/run/libvirt", "etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "cache": "/var/cache/libvirt", "log": "/var/log/libvirt"}

    def __init__(self, folder):
        self.folder, self.process = pathlib.Path(folder), None
        for name, path in self.DIRECTORIES.items():
            (self.folder / name).mkdir(parents=True)
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
        (self.folder / "etc/qemu.conf").write_text('stdio_handler = "file"\nsecurity_driver = "none"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n')
        (self.folder / "etc/libvirtd.conf").write_text('unix_sock_rw_perms = "0770"\nauth_unix_rw = "none"\n')

    def start(self):
        binds = " && ".join(f"mount --bind {self.folder / name} {path}" for name, path in self.DIRECTORIES.items())
        with open(self.folder / "said", "ab") as said:
            self.process = subprocess.Popen(["unshare", "--mount", "sh", "-ec", f"{binds} && exec libvirtd --config /etc/libvirt/libvirtd.conf "
                                             f"--pid-file {self.folder}/pid"], stdout=said, stderr=said)
        wait_until(self.answers, 60, f"libvirtd answers: see {self.folder}/said")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "said").read_text()
        with socket.socket(socket.AF_UNIX) as door:
            return door.connect_ex(str(self.folder / "run/libvirt-sock")) == 0

    def stop(self):
        """The daemon alone: its guests live on."""
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def guests(self):
        """{uuid: pid}: by where libvirt keeps their monitors."""
        found = {}
        for pid, line in processes_with("/var/lib/libvirt/qemu/domain-"):
            words = line.split()
            if "-uuid" in words and same_files(pid, self.folder / "lib"):
                found[words[words.index("-uuid") + 1]] = pid
        return found

    def end(self):
        for pid in self.guests().values():
            os.kill(pid, 9)
        self.stop()


def same_files(pid, folder):
    """Does the process see this folder as its /var/lib/libvirt?"""
    try:
        return os.path.samefile(f"/proc/{pid}/root/var/lib/libvirt", folder)
    except OSError:
        return False
