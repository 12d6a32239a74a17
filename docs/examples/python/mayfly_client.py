"""A client of Mayfly's bus in one file, with nothing but pyzmq and msgpack (Debian: python3-zmq, python3-msgpack).

It was written from docs/PROTOCOL.md alone. Two frames make a message: b"MF1 <name>" and a msgpack map. A request is sent again, byte for
byte, until it is answered: the broker does it once. A stream is opened again from where it was when nothing was heard for a while.
"""
import collections
import itertools
import os
import re
import stat
import time
import uuid

import msgpack
import zmq

RESEND_S = 2.0    # a request without an answer is sent again
SILENCE_S = 5.0   # a stream without a word is opened again: its connection may have been another one
CREDIT = 256      # rows the broker may send before we have read some


class Refused(Exception):
    """The broker said no. `code` is one of the list of errors in docs/PROTOCOL.md; `retry`: the same request may succeed later."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('text')}")
        self.code = error.get("code")
        self.retry = error.get("retry", False)
        self.oldest_seq = error.get("oldest_seq", 0)


def read_certificate(path):
    """The values of a secret certificate as `mayfly key create` writes it: role, name, broker, public-key, secret-key."""
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise ValueError(f"{path}: others can read this secret; chmod 600 it")
    values = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            match = re.match(r'^\s+([a-z-]+)\s*=\s*"?([^"]*?)"?\s*$', line)
            if match:
                values[match.group(1)] = match.group(2)
    for key in ("broker", "public-key", "secret-key"):
        if len(values.get(key, "")) != 40:
            raise ValueError(f"{path}: has no {key} of 40 characters; is it a .cert_secret made by `mayfly key create`?")
    return values


def connect(context, kind, endpoint, certificate):
    """A socket with CURVE and heartbeats, connected."""
    socket = context.socket(kind)
    socket.curve_serverkey = certificate["broker"].encode()
    socket.curve_publickey = certificate["public-key"].encode()
    socket.curve_secretkey = certificate["secret-key"].encode()
    socket.linger = 0
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)
    socket.connect(endpoint)
    return socket


def text_id(value):
    """The 16 bytes of an id, as people write it."""
    return str(uuid.UUID(bytes=value))


class Client:
    def __init__(self, endpoint, certificate_path):
        self.endpoint = endpoint
        self.socket = connect(zmq.Context.instance(), zmq.DEALER, endpoint, read_certificate(certificate_path))
        self.replies = {}                                    # request_id: (name, body), for the ids we wait for
        self.streams = collections.defaultdict(collections.deque)  # stream: messages not looked at yet
        self.numbers = itertools.count(1)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, name, body):
        self.socket.send_multipart([b"MF1 " + name.encode(), msgpack.packb(body)])

    def pump(self, timeout_s):
        """Take one message, if one comes in time, and put it where it is waited for."""
        if not self.socket.poll(max(0, int(timeout_s * 1000))):
            return
        head, body = self.socket.recv_multipart()
        name, body = head.decode().split(" ", 1)[1], msgpack.unpackb(body)
        request_id = body.get("request_id")
        if request_id in self.replies:
            self.replies[request_id] = (name, body)
        elif "stream" in body:
            self.streams[body["stream"]].append((name, body))

    def request(self, name, timeout_s=30.0, request_id=None, **fields):
        """Send a request and return the body of its reply. Raises Refused, or TimeoutError when nobody answers."""
        request_id = request_id or str(uuid.uuid4())
        fields = {key: value for key, value in fields.items() if value is not None}
        deadline = time.monotonic() + timeout_s
        resend = 0.0
        self.replies[request_id] = None
        try:
            while self.replies[request_id] is None:
                now = time.monotonic()
                if now >= deadline:
                    raise TimeoutError(f"{self.endpoint} did not answer {name} within {timeout_s:g} s: is the address right, and the key known there?")
                if now >= resend:
                    self.send(name, {"request_id": request_id, **fields})
                    resend = now + RESEND_S
                self.pump(min(deadline, resend) - now)
            answer, body = self.replies[request_id]
        finally:
            del self.replies[request_id]
        if answer == "error":
            raise Refused(body)
        return body

    def list(self, name, **fields):
        """All rows of a list-* request, page by page."""
        after = None
        while True:
            page = self.request(name, after=after, **fields)
            yield from page["rows"]
            after = page.get("next")
            if not after:
                return

    def follow(self, start=0, type="", subject="", timeout_s=None):
        """Event rows from seq `start` on, in order, without gap or duplicate, for ever or until the time is over (TimeoutError)."""
        stream, expected = next(self.numbers), start
        deadline = time.monotonic() + timeout_s if timeout_s else float("inf")
        opened = heard = float("-inf")
        try:
            while True:
                now = time.monotonic()
                if now >= deadline:
                    raise TimeoutError(f"waited {timeout_s:g} s for events")
                if now - max(heard, opened) >= SILENCE_S:
                    self.send("subscribe", {"request_id": str(uuid.uuid4()), "stream": stream, "from": expected, "type": type,
                                            "subject": subject, "credit": CREDIT})
                    opened = now
                if not self.streams[stream]:
                    self.pump(min(deadline, max(heard, opened) + SILENCE_S) - now)
                    continue
                name, body = self.streams[stream].popleft()
                heard = now
                if name == "error":
                    raise Refused(body)
                for row in body["rows"]:
                    if row["seq"] >= expected:
                        expected = row["seq"] + 1
                        yield row
                expected = max(expected, body["next"])
                if body["rows"]:
                    self.send("credit", {"stream": stream, "credit": len(body["rows"])})
        finally:
            self.send("unsubscribe", {"stream": stream})
            self.streams.pop(stream, None)
