"""The network of a cluster made by `mayfly dev up --netns`: each member in a namespace of its own, so that links are cut for real.

A datagram or segment is dropped where it comes in: its sender is told nothing, as on a broken wire. The command line and the tests
reach the broker from outside (10.S.255.254) and are never cut off."""
import os
import pathlib
import shutil
import subprocess

TABLE = """table ip mayfly {
  set from { type ipv4_addr; }
  chain lossy { }
  chain input { type filter hook input priority -300; policy accept; ip saddr @from drop; meta l4proto udp jump lossy; }
}
"""


def missing():
    """Why namespaces can't be had here; None if they can."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("ip", "nft"):
        if not shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            return f"no {tool}(8)"
    name = f"mfprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made.stderr.strip() or None if made.returncode else None


class Net:
    def __init__(self, cluster):
        self.c = cluster
        conf = dict(line.partition("=")[::2] for line in (cluster.state / "dev.conf").read_text().splitlines())
        self.subnet = int(conf["SUBNET"])
        assert self.subnet, "this cluster was made without --netns"
        self.nodes = [f"node-{i}" for i in range(int(conf["NODES"]))]
        self.monitors = [f"health-{i}" for i in range(int(conf["MONITORS"]))]
        self.cuts, self.prepared = set(), set()

    def namespace(self, name):
        return f"mf{self.subnet}-{name}"

    def address(self, name):
        kind, _, number = name.partition("-")
        n = int(number or 0)
        return {"broker": f"10.{self.subnet}.0.1", "health": f"10.{self.subnet}.0.{2 + n}"}.get(kind) or f"10.{self.subnet}.{1 + n // 200}.{1 + n % 200}"

    def run(self, name, *command, stdin=None):
        done = subprocess.run(["ip", "netns", "exec", self.namespace(name), *command], input=stdin, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{name}: {' '.join(command)}: {done.stderr} {stdin or ''}"
        return done.stdout

    def nft(self, name, text):
        if name not in self.prepared:
            self.run(name, "nft", "-f", "-", stdin=TABLE)
            self.prepared.add(name)
        self.run(name, "nft", "-f", "-", stdin=text)

    # -- cuts
    def cut(self, a, b, oneway=False):
        """What a sends does not reach b; and the other way round, unless oneway."""
        for source, target in [(a, b)] if oneway else [(a, b), (b, a)]:
            if (source, target) not in self.cuts:
                self.nft(target, f"add element ip mayfly from {{ {self.address(source)} }}\n")
                self.cuts.add((source, target))

    def heal(self, a, b):
        for source, target in [(a, b), (b, a)]:
            if (source, target) in self.cuts:
                self.nft(target, f"delete element ip mayfly from {{ {self.address(source)} }}\n")
                self.cuts.remove((source, target))

    def heal_all(self):
        for source, target in list(self.cuts):
            self.heal(source, target)

    def others(self, name):
        return [n for n in ["broker", *self.monitors, *self.nodes] if n != name]

    def isolate(self, name):
        for other in self.others(name):
            self.cut(name, other)

    def link(self, name, up):
        self.run(name, "ip", "link", "set", "eth0", "up" if up else "down")

    def lose(self, name, percent):
        """So many of a hundred datagrams that reach it are lost."""
        rule = f"add rule ip mayfly lossy numgen random mod 100 < {percent} drop\n" if percent else ""
        self.nft(name, "flush chain ip mayfly lossy\n" + rule)


def leftovers(subnet):
    """Namespaces and links of a cluster that should be gone."""
    names = [n for n in os.listdir("/run/netns") if n.startswith(f"mf{subnet}-")] if os.path.isdir("/run/netns") else []
    return names + ([f"mf{subnet}"] if pathlib.Path(f"/sys/class/net/mf{subnet}").exists() else [])


def sweep(subnet):
    """After a failure: whatever is left of one cluster's network, and only that."""
    for name in leftovers(subnet):
        subprocess.run(["ip", "netns", "del", name] if "-" in name else ["ip", "link", "del", name], capture_output=True, timeout=20)
