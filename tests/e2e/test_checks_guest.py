"""A real guest on a bridge, with a web server of its own that monitors look at: it stops serving, and is born anew."""
import os
import subprocess
import urllib.error
import urllib.request

import pytest
from cluster import check_log, wait_until
from conftest import make_cluster

BRIDGE, HOST, GUEST = f"mfc{os.getpid()}", "10.213.78.1", "10.213.78.15"
SERVE = f"""#!/bin/sh
ip addr add {GUEST}/24 dev eth0
mkdir -p /www/cgi-bin
echo well >/www/healthz
printf '#!/bin/sh\\nkillall httpd\\n' >/www/cgi-bin/stop
chmod 755 /www/cgi-bin/stop
httpd -p {GUEST}:8080 -h /www
until ping -c 1 -W 1 {HOST} >/dev/null; do :; done
"""


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True).returncode == 0


@pytest.fixture
def cluster(request):
    made = ip("link", "add", BRIDGE, "type", "bridge") and ip("addr", "add", f"{HOST}/24", "dev", BRIDGE) and ip("link", "set", BRIDGE, "up")
    try:
        if not made:
            pytest.skip("NO NETWORK NAMESPACES HERE: nor a bridge, which the guest's server is reached by")
        yield from make_cluster(request, "libvirt", 1,
                                up_args=["--domain-type", "qemu", "--agent-arg=--network", f"--agent-arg=lan=bridge:{BRIDGE}",
                                         "--health-arg=--check-networks", f"--health-arg={GUEST}"])
    finally:
        ip("link", "del", BRIDGE)


def get(path):
    try:
        return urllib.request.urlopen(f"http://{GUEST}:8080{path}", timeout=5).read().decode().strip()
    except (urllib.error.URLError, OSError):
        return None


def test_a_guest_that_serves_no_more_is_born_anew(cluster, tmp_path):
    c = cluster
    script = tmp_path / "user-data"
    script.write_text(SERVE)
    since = c.newest() + 1
    c.ok("provision", "--group", "web", "--count", 1, "--image", "tiny", "--offering", "small", "--user-data", script, "--network", "lan",
         "--ready", "port", "--check", "http:8080/healthz,every=500ms,timeout=2s,fall=3", timeout=300)
    c.wait_events("instance.ready", 1, since, timeout=120)
    (first,) = wait_until(lambda: (r := c.running("web")) and r[0].get("address") == GUEST and r, 120, "its address is known")
    wait_until(lambda: get("/healthz") == "well", 60, "it serves")
    # an agent that starts anew finds out where it is
    epoch = c.nodes_by_name()["node-0"]["epoch"]
    c.dev("kill", "--agent", "node-0")
    wait_until(lambda: (n := c.nodes_by_name()["node-0"])["epoch"] > epoch and n["state"] == "ready", 60, "the agent is back")
    wait_until(lambda: c.running("web")[0].get("address") == GUEST, 90, "its address is known again")
    assert not [e for e in c.events("--from", since) if e["type"] == "instance.unwell"]

    since = c.newest() + 1
    get("/cgi-bin/stop")
    (unwell,) = c.wait_events("instance.unwell", 1, since, timeout=60)
    assert unwell["data"]["id"] == first["id"] and unwell["data"]["how"] == "check", unwell
    assert f"http {GUEST}:8080/healthz: " in unwell["data"]["text"], unwell
    (ready,) = c.wait_events("instance.ready", 1, since, timeout=180)
    assert ready["data"]["id"] != first["id"]
    wait_until(lambda: get("/healthz") == "well", 60, "its successor serves")
    (second,) = wait_until(lambda: (r := c.running("web")) and r[0].get("address") == GUEST and r, 60, "and is found")
    assert second["id"] == ready["data"]["id"] and second["generation"] == first["generation"] + 1
    assert first["id"] not in c.qemus()
    c.ok("destroy", "web", "--wait", timeout=120)
    assert c.qemus() == {}
    check_log(c.events())
