"""Guests looked at from outside: their servers turn bad, and what becomes of them. Simulated guests, whose addresses are of this
host's loopback network; one server plays all of theirs, and is good or bad by the address it was asked at."""
import http.server
import subprocess
import threading

import pytest

from cluster import BIN, check_log, kill, wait_until
from conftest import make_cluster

NETWORK = ["--health-arg=--check-networks", "--health-arg=127.0.0.0/8"]


class Servers:
    """Everybody's server on one port: `status[address]` is what it answers there, None never comes."""

    def __init__(self):
        self.status, self.asked, self.over = {}, {}, threading.Event()
        servers = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                address = self.connection.getsockname()[0]
                servers.asked[address] = servers.asked.get(address, 0) + 1
                status = servers.status.get(address, 200)
                if status is None:
                    servers.over.wait()
                    return
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self.server = Server(("0.0.0.0", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def wait_asked(self, addresses, times, what):
        goal = {a: self.asked.get(a, 0) + times for a in addresses}
        wait_until(lambda: all(self.asked.get(a, 0) >= n for a, n in goal.items()), 60, what)


@pytest.fixture
def servers():
    made = Servers()
    yield made
    made.close()


def give_addresses(c):
    """From now on guests of node I have the addresses 127.I.0.1 and on."""
    for i in range(c.nodes):
        root = next((c.state / "nodes" / f"node-{i}").rglob("null.sock")).parent
        subprocess.run([str(BIN / "mayfly-null"), "--root", str(root), "--script", f"address=127.{i + 1}.0.1"], check=True, timeout=20,
                       capture_output=True)


@pytest.fixture
def watched(request):
    for c in make_cluster(request, "null", 3, up_args=NETWORK):
        give_addresses(c)
        yield c


@pytest.fixture
def watched_by_three(request):
    for c in make_cluster(request, "null", 3, up_args=NETWORK, monitors=3):
        give_addresses(c)
        yield c


def provision(c, servers, count, check="every=200ms,timeout=500ms,fall=3"):
    c.ok("provision", "--group", "web", "--image", "tiny", "--offering", "small", "--count", count, "--spread", "host",
         "--check", f"http:{servers.port}/healthz,{check}", "--wait")
    rows = wait_until(lambda: (r := c.running("web")) and all(i.get("address") for i in r) and r, 30, "every guest has an address")
    servers.wait_asked([r["address"] for r in rows], 2, "every guest is looked at")
    return sorted(rows, key=lambda r: r["slot"])


def unwell(c):
    return [e for e in c.events() if e["type"] == "instance.unwell"]


def test_a_server_that_turns_bad_is_replaced(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    assert len({r["address"] for r in before}) == 3, before
    since, victim = c.newest() + 1, before[1]
    servers.status[victim["address"]] = 503
    (event,) = c.wait_events("instance.unwell", 1, since)
    assert event["data"]["id"] == victim["id"] and event["data"]["how"] == "check" and event["cause"] == 0, event
    assert f"http {victim['address']}:{servers.port}/healthz: answered 503, 3 in a row" == event["data"]["text"], event
    wait_until(lambda: victim["id"] not in {r["id"] for r in c.instances("web")}, 30, "it is gone")
    after = sorted(c.wait_running("web", 3), key=lambda r: r["slot"])
    assert after[1]["generation"] == victim["generation"] + 1
    assert [after[i]["id"] == before[i]["id"] for i in (0, 2)] == [True, True]
    assert all(victim["id"] not in c.null_guests(f"node-{i}") for i in range(3))
    # the new one has an address of its own, is looked at, and is well
    reborn = wait_until(lambda: next((r["address"] for r in c.running("web") if r["slot"] == 1 and r.get("address")), None), 30, "an address")
    assert reborn != victim["address"]
    servers.wait_asked([reborn], 10, "its successor is looked at")
    assert len(unwell(c)) == 1
    assert "answered 503" in c.ok("why", "web/1").out
    check_log(c.events())


def test_a_server_that_hangs_is_replaced(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    since = c.newest() + 1
    servers.status[before[0]["address"]] = None
    (event,) = c.wait_events("instance.unwell", 1, since)
    assert event["data"]["id"] == before[0]["id"] and "Timeout" in event["data"]["text"], event


def test_when_all_turn_bad_nobody_is_replaced(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    addresses = [r["address"] for r in before]
    since = c.newest() + 1
    for address in addresses:
        servers.status[address] = 500
    (held,) = c.wait_events("checks.held", 1, since)
    assert held["data"]["known"] == 3 and held["data"]["passing"] <= 1, held
    servers.wait_asked(addresses, 15, "they fail again and again")
    assert unwell(c) == []
    servers.status.clear()
    (released,) = c.wait_events("checks.released", 1, since)
    assert released["cause"] == held["seq"]
    servers.wait_asked(addresses, 15, "they pass again")
    assert {r["id"] for r in c.running("web")} == {r["id"] for r in before}
    assert unwell(c) == []


def test_nothing_happens_without_monitors(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    since = c.newest() + 1
    kill(c.pid("health-0"))
    c.wait_events("monitor.lost", 1, since)
    assert {r["id"] for r in c.running("web")} == {r["id"] for r in before}
    c.dev("start", "health-0")
    servers.wait_asked([r["address"] for r in before], 5, "the new monitor looks at them all")
    assert unwell(c) == [] and {r["id"] for r in c.running("web")} == {r["id"] for r in before}


def test_while_frozen_nobody_is_replaced(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    c.ok("freeze", "--reason", "a look at it")
    servers.status[before[0]["address"]] = 500
    servers.wait_asked([before[0]["address"]], 10, "it fails again and again")
    assert unwell(c) == []
    since = c.newest() + 1
    c.ok("thaw")
    (event,) = c.wait_events("instance.unwell", 1, since)
    assert event["data"]["id"] == before[0]["id"]


def test_an_agent_that_starts_anew_tells_addresses_again(watched, servers):
    c = watched
    before = provision(c, servers, 3)
    victim = before[0]
    epoch = c.nodes_by_name()[victim["node"]]["epoch"]
    c.dev("kill", "--agent", victim["node"])
    wait_until(lambda: c.nodes_by_name()[victim["node"]]["epoch"] > epoch, 30, "the agent is back")
    wait_until(lambda: {r["id"]: r.get("address") for r in c.running("web")} == {r["id"]: r["address"] for r in before}, 30,
               "the same addresses")
    servers.wait_asked([r["address"] for r in before], 5, "they are looked at again")
    since = c.newest() + 1
    servers.status[victim["address"]] = 500
    (event,) = c.wait_events("instance.unwell", 1, since)
    assert event["data"]["id"] == victim["id"]


def test_of_three_monitors_the_majority_decides(watched_by_three, servers):
    """One is stopped, and does not vote; the other two still make a majority. Alone, one does not."""
    c = watched_by_three
    before = provision(c, servers, 3)
    since = c.newest() + 1
    kill(c.pid("health-0"))
    c.wait_events("monitor.lost", 1, since)
    servers.status[before[0]["address"]] = 500
    (event,) = c.wait_events("instance.unwell", 1, since)
    assert event["data"]["id"] == before[0]["id"]
    kill(c.pid("health-1"))
    c.wait_events("monitor.lost", 2, since)
    servers.status[before[1]["address"]] = 500
    servers.wait_asked([before[1]["address"]], 10, "one monitor sees it fail")
    assert len(unwell(c)) == 1
