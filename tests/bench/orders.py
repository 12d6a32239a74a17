"""Reads from the workers' logs when an order arrived, in wall-clock seconds: the agents log each order with its receipt time."""
import datetime
import pathlib
import re


def order_times(state, operation="order-create"):
    """{instance id: receipt time} over all nodes' logs."""
    found = {}
    for log in pathlib.Path(state, "log").glob("node-*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if operation in line and "id=" in line:
                when, who = re.search(r"time=(\S+)", line), re.search(r"\bid=([0-9a-f-]{36})", line)
                if when and who:
                    stamp = datetime.datetime.fromisoformat(when.group(1).replace("Z", "+00:00")).timestamp()
                    found.setdefault(who.group(1), stamp)
    return found


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]
