"""A peer with a key of any role that says whatever it likes: bytes, not a library, so that it may be wrong in every way."""
import pathlib
import re
import time
import uuid

import msgpack
import zmq

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "PROTOCOL.md"


def message_table():
    """{message: who may send it}, read from the document as a stranger would."""
    rows = re.findall(r"^\| \[([a-z-]+)\]\(#[a-z-]+\) \| ([a-z, ]+) \|", PROTOCOL.read_text(), re.M)
    return {name: set(senders.split(", ")) for name, senders in rows}


class Peer:
    """One connection. `ask` sends and returns the next answer; what comes in between stays in `heard`."""

    def __init__(self, cluster, role, name, endpoint="CLIENT", rcvhwm=200000):
        self.rcvhwm, self.cluster, self.role, self.name = rcvhwm, cluster, role, name
        secret = cluster.state / "keys" / f"{name}.cert_secret"
        if not secret.exists():
            cluster.ok("key", "create", "--role", role, name)
        self.key = dict(re.findall(r'^\s+([a-z-]+)\s*=\s*"([^"]*)"', secret.read_text(), re.M))
        self.address = next(line.partition("=")[2] for line in (cluster.state / "broker" / "endpoints").read_text().splitlines()
                            if line.startswith(endpoint))
        self.heard = []
        self.connect()

    def connect(self):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.curve_serverkey = self.key["broker"].encode()
        self.socket.curve_publickey = self.key["public-key"].encode()
        self.socket.curve_secretkey = self.key["secret-key"].encode()
        self.socket.linger = 0
        self.socket.sndhwm, self.socket.rcvhwm = 200000, self.rcvhwm
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)
        self.socket.connect(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def raw(self, *frames):
        self.socket.send_multipart(list(frames))

    def say(self, name, **fields):
        self.raw(b"MF1 " + name.encode(), msgpack.packb({"class" if k == "class_" else "from" if k == "from_" else k: v
                                                         for k, v in fields.items()}))

    def hear(self, timeout=10.0):
        """The next message as (name, body); None when none came."""
        if not self.socket.poll(int(timeout * 1000)):
            return None
        head, body = self.socket.recv_multipart()[-2:]
        message = head.decode().split(" ", 1)[1], msgpack.unpackb(body)
        self.heard.append(message)
        return message

    def hear_until(self, name, timeout=10.0):
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            message = self.hear(left)
            if message and message[0] == name:
                return message[1]
        raise AssertionError(f"no {name} within {timeout} s, but {[m[0] for m in self.heard[-8:]]}")

    def ask(self, kind, **fields):
        fields.setdefault("request_id", str(uuid.uuid4()))
        self.say(kind, **fields)
        while True:
            message = self.hear()
            assert message, f"{self.role} {self.name}: no answer to {kind}"
            if message[1].get("request_id") == fields["request_id"] or "request_id" not in message[1] and message[0] == "error":
                return message

    def drain(self, quiet=0.2):
        n = 0
        while self.hear(quiet):
            n += 1
        return n

    def hello(self, **more):
        fields = dict(machine_id=f"machine-{self.name}", boot_id="boot-1", started_ms=1, term_seen=0,
                      capacity=dict(vcpus=4, memory_mib=4096, disk_mib=65536), class_="standard", driver="null", guests=[])
        self.say("hello", **{**fields, **more})
