"""mayfly-checker, run beside a story: it sees what truly runs and asks neither broker nor libvirt (tests/e2e/checker)."""
import json
import os
import pathlib
import subprocess

CHECKER = pathlib.Path(os.environ["MAYFLY_BIN"]).parent / "tests" / "mayfly-checker"


class Outside:
    def __init__(self, cluster, **flags):
        """flags: told_ms=..., report_ms=..., single="web db"..."""
        words = [f(x) for k, v in flags.items() for f, x in ((lambda k: "--" + k.replace("_", "-"), k), (str, v))]
        self.c = cluster
        self.process = subprocess.Popen([str(CHECKER), "--state", str(cluster.state), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

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
