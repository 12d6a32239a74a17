"""A node of a dev cluster whose keeper is PID 1 of a pid namespace of its own, as in a container: its guests end with it."""
import pathlib
import subprocess

from cluster import cmdline, kill, processes_with, wait_until


def missing():
    """Why no such namespace can be made here; empty if it can."""
    done = subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


class Init:
    """Takes a node over from `mayfly dev`, whose command line for it is used as it is, but for the pid file, which would say 1."""

    def __init__(self, cluster, name, *keeper_args):
        self.cluster, self.name = cluster, name
        cluster.dev("kill", name)
        words = (cluster.state / "run" / f"{name}.cmd").read_text().splitlines()
        words[words.index("--pid-file") + 1] = str(cluster.state / "run" / f"{name}.init")
        at = words.index("--")
        self.words = words[:at] + [*map(str, keeper_args)] + words[at:]
        self.outer = None

    def start(self):
        log = (self.cluster.state / "log" / f"{self.name}.log").open("ab")
        command = ["unshare", "-pf", "--mount-proc", "--kill-child", *self.words]
        self.outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = wait_until(self._init, 20, "PID 1 of the namespace")

    def _init(self):
        """Its pid out here."""
        children = pathlib.Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()
        return int(children[0]) if children and "mayfly-keeper" in cmdline(children[0]) else 0

    def agent(self):
        return next(pid for pid, line in processes_with(f"nodes/{self.name}") if line.split()[0].endswith("mayfly-agent"))

    def signal(self, number):
        kill(self.pid, number)

    def wait(self, timeout=60):
        return self.outer.wait(timeout)

    def end(self):
        if self.outer and self.outer.poll() is None:
            self.outer.kill()  # and its child with it
            self.outer.wait(60)
