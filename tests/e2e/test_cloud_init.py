"""A real Debian guest, with its own cloud-init and guest agent: everything that is promised to a guest at its birth is looked for inside it.
Two groups at once, since an emulated boot takes a minute or two: one with a template, one with a packed multipart message."""
import email.mime.multipart
import email.mime.text
import gzip
import json
import os
import pathlib
import re

import pytest

from cluster import check_log, wait_until
from conftest import make_cluster

BOOT = 900  # seconds; emulated, on a machine that does other things as well

# What the guest finds, said on its console; kernel and systemd speak there, too, so each item has a line of its own, said twice.
REPORT = r'''#!/usr/bin/python3
import json, pathlib, pwd, socket, subprocess

def of(path):
    return pathlib.Path(path).read_text() if pathlib.Path(path).exists() else None

def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout

found = {
    "meta": json.loads(run("cloud-init", "query", "ds.meta_data")),
    "file": of("/etc/hello"),
    "user": pwd.getpwnam("alice").pw_shell,
    "runcmd": of("/run/runcmd-ran"),
    "script": of("/run/script-ran"),
    "vendor": of("/run/vendor-ran"),
    "hostname": socket.gethostname(),
    "links": json.loads(run("ip", "-j", "addr", "show", "dev", "eth0")),
    "source": run("cloud-init", "query", "subplatform").strip(),
    "disk": run("findmnt", "-bno", "SIZE", "/").strip(),
}
with open("/dev/console", "w") as console:
    for _ in range(2):
        for name, value in found.items():
            print("\nMAYFLY", name, json.dumps(value), "END", file=console, flush=True)
'''
CONFIG = {
    "users": ["default", {"name": "alice", "shell": "/bin/dash"}],
    "final_message": "MAYFLY-FINAL of $INSTANCE after $uptime s",
}
VENDOR = "#!/bin/sh\necho of the house >/run/vendor-ran\n"


def indented(text):
    return "".join(f"      {line}\n" for line in text.splitlines())


def as_template():
    """A cloud-config; that JSON is YAML keeps it short."""
    config = dict(CONFIG, write_files=[{"path": "/etc/hello", "content": "slot {{ slot }} of {{ group }}, {{ labels.tier }}"}],
                  runcmd=[["sh", "-c", "echo {{ name }} >/run/runcmd-ran"], ["/usr/local/bin/report"]])
    config["final_message"] = config["final_message"].replace("$INSTANCE", "{{ id }}")
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items() if key != "write_files")
    files = json.dumps(config["write_files"][0])
    return (f"## template: mayfly\n#cloud-config\n{text}write_files:\n  - {files}\n  - path: /usr/local/bin/report\n    permissions: '0755'\n"
            f"    content: |\n{indented(REPORT)}").encode()


def as_message():
    """The same as parts, packed. Scripts run in the order of their names, runcmd among them."""
    config = dict(CONFIG, write_files=[{"path": "/etc/hello", "content": "from a part"}], runcmd=[["sh", "-c", "echo part >/run/runcmd-ran"]])
    config["final_message"] = config["final_message"].replace("$INSTANCE", "parts")
    message = email.mime.multipart.MIMEMultipart()
    for name, kind, text in (("config", "cloud-config", "#cloud-config\n" + json.dumps(config)),
                             ("a-script", "x-shellscript", "#!/bin/sh\necho ran >/run/script-ran\n"),
                             ("z-report", "x-shellscript", REPORT)):
        part = email.mime.text.MIMEText(text, kind, "utf-8")
        part.add_header("Content-Disposition", "attachment", filename=name)
        message.attach(part)
    return gzip.compress(message.as_bytes())


@pytest.fixture
def city(request, tmp_path):
    vendor = tmp_path / "vendor-data"
    vendor.write_text(VENDOR)
    yield from make_cluster(request, "libvirt", 1, up_args=["--agent-arg=--vendor-data", f"--agent-arg={vendor}"])


def console(c, slot):
    return c.run("logs", slot, "--bytes", 262144).out


def report(c, slot):
    """What the guest of a slot said of itself, when it has said it all."""
    found = dict(re.findall(r"MAYFLY (\w+) (.*) END", console(c, slot)))
    try:
        found = {name: json.loads(value) for name, value in found.items()}
    except json.JSONDecodeError:
        return None  # somebody spoke in between; the second time may do
    return found if len(found) == 10 and "MAYFLY-FINAL" in console(c, slot) else None


def check_common(found, row, group):
    mayfly = found["meta"]["mayfly"]
    assert found["meta"]["instance-id"] == row["id"]
    assert found["meta"]["local-hostname"] == found["hostname"] == f"{group}-0"
    assert {k: mayfly[k] for k in ("tenant", "group", "slot", "node", "spare", "labels")} == {
        "tenant": "default", "group": group, "slot": 0, "node": "node-0", "spare": False, "labels": {"tier": "front"}}
    assert mayfly["generation"] == row["generation"] and mayfly["name"] == f"{group}/0#{row['generation']}"
    assert found["user"] == "/bin/dash" and found["vendor"] == "of the house\n"
    assert found["source"].startswith("config-disk") or found["source"].startswith("seed"), found["source"]
    # the network as the seed says it: by the instance's own address, under the name it gives
    (link,) = found["links"]
    mac = row["id"].replace("-", "")[-6:]
    assert link["address"] == f"52:54:00:{mac[:2]}:{mac[2:4]}:{mac[4:]}" and link["operstate"] == "UP"
    assert "10.0.2.15" in {a["local"] for a in link["addr_info"]}
    assert int(found["disk"]) > 2.5 * (1 << 30), "the root file system grew to the offering's disk"


def test_every_promised_datum_arrives(city, tmp_path):
    c = city
    root = pathlib.Path(os.environ["MAYFLY_IMAGE_ROOT"])
    c.ok("image", "add", "debian", "--image-root", root, "--kernel", "debian/vmlinuz", "--initrd", "debian/initrd", "--disk",
         "debian/disk.qcow2", "--cmdline", (root / "debian/cmdline").read_text().strip())
    c.ok("offering", "add", "guest", "--vcpus", 1, "--memory-mib", 512, "--disk-mib", 3072)
    since = c.newest() + 1
    for group, data in (("template", as_template()), ("message", as_message())):
        path = tmp_path / group
        path.write_bytes(data)
        c.ok("provision", "--group", group, "--count", 1, "--image", "debian", "--offering", "guest", "--label", "tier=front",
             "--user-data", path, "--ready", "agent", "--boot-limit", f"{BOOT}s")
    ready = c.wait_events("instance.ready", 2, since, timeout=BOOT)
    rows = {row["group"]: row for row in c.instances()}
    assert {e["data"]["id"] for e in ready} == {row["id"] for row in rows.values()}

    found = wait_until(lambda: report(c, "template/0"), BOOT, "the report of template/0")
    check_common(found, rows["template"], "template")
    assert found["meta"]["mayfly"]["born"] == "wanted" and "replaces" not in found["meta"]["mayfly"]
    assert found["file"] == "slot 0 of template, front" and found["runcmd"] == "template/0#1\n"
    assert f"MAYFLY-FINAL of {rows['template']['id']} after" in console(c, "template/0")
    c.ok("destroy", "template", "--wait", timeout=120)

    found = wait_until(lambda: report(c, "message/0"), BOOT, "the report of message/0")
    check_common(found, rows["message"], "message")
    assert found["file"] == "from a part" and found["runcmd"] == "part\n" and found["script"] == "ran\n"

    # its successor is told whom it replaces, and why
    since = c.newest() + 1
    os.kill(c.qemus()[rows["message"]["id"]], 9)
    c.wait_events("instance.ready", 1, since, timeout=BOOT)
    (row,) = c.running("message")
    found = wait_until(lambda: report(c, "message/0"), BOOT, "the report of its successor")
    check_common(found, row, "message")
    assert row["generation"] == 2
    assert found["meta"]["mayfly"]["born"] == "died" and found["meta"]["mayfly"]["replaces"] == rows["message"]["id"]
    assert found["script"] == "ran\n"  # another instance-id: cloud-init began anew, on a disk of its own
    c.ok("destroy", "message", "--wait", timeout=120)
    assert not list(c.state.rglob("seed.iso")) and not list(c.state.rglob("disk.qcow2"))
    check_log(c.events())
