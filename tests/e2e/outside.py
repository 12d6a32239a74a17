"""mayfly-checker, run beside a story: it sees what truly runs and asks neither broker nor libvirt (tests/e2e/checker)."""
import json
import os
import pathlib
import subprocess
import tempfile

from cluster import wait_until

CHECKER = pathlib.Path(os.environ["MAYFLY_BIN"]).parent / "tests" / "mayfly-checker"


class Outside:
    def __init__(self, cluster, **flags):
        """flags: told_ms=..., report_ms=..., single="web db"..."""
        words = [f(x) for k, v in flags.items() for f, x in ((lambda k: "--" + k.replace("_", "-"), k), (str, v))]
        self.c, self.progress = cluster, tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(CHECKER), "--state", str(cluster.state), "--progress", str(self.progress.fileno()), *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        pass_fds=[self.progress.fileno()])

    def swept(self):
        """(sweeps so far, when the last one was, ms on the monotonic clock)"""
        words = os.pread(self.progress.fileno(), 64, 0).split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else (0, 0)

    def await_sweeps(self, n=3):
        """Until it has looked n times more: what stands now has been seen."""
        until = self.swept()[0] + n
        wait_until(lambda: self.swept()[0] >= until, 30, f"{n} sweeps of the checker")

    def await_watched(self, ms):
        """Until it has watched what stands now for so long, by its own clock."""
        self.await_sweeps(1)
        until = self.swept()[1] + ms
        wait_until(lambda: self.swept()[1] >= until, 30 + ms / 1000, f"{ms} ms watched by the checker")

    def judge(self, events=None):
        """Its verdict on what it saw until now, with the log of the cluster."""
        log = self.c.events() if events is None else events
        out, err = self.process.communicate("".join(json.dumps(e) + "\n" for e in log) or "\n", timeout=120)
        assert out, f"mayfly-checker, exit {self.process.returncode}: {err}"
        return json.loads(out)

    def must_hold(self, events=None):
        verdict = self.judge(events)
        assert verdict["sweeps"] > 1 and self.process.returncode == 0, json.dumps(verdict, indent=1)
        return verdict

    def stop(self):
        self.process.kill()
        self.process.communicate()
