"""A TCP proxy for what nft cannot do to a link: delay, stalls of a connection that stays open, and resets in the middle of a message."""
import collections
import selectors
import socket
import struct
import threading
import time

CHUNK = 65536


class Proxy(threading.Thread):
    """Listens on host:port (a free one) and passes on to target ("tcp://HOST:PORT"). delay: seconds each way, at most chunk bytes at once."""

    def __init__(self, host, target, delay=0.0, chunk=CHUNK):
        super().__init__(name="proxy", daemon=True)
        address, _, port = target.removeprefix("tcp://").rpartition(":")
        self.target, self.delay, self.chunk = (address, int(port)), delay, chunk
        self.stalled, self.over, self.passed = False, False, 0
        self.listener = socket.create_server((host, 0))
        self.endpoint = f"tcp://{host}:{self.listener.getsockname()[1]}"
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peer, self.waiting = {}, {}  # socket: the other end; and what is under way to it, [(when, bytes)]
        self.lock = threading.Lock()
        self.start()

    def run(self):
        while not self.over:
            for key, _ in self.selector.select(0.005):
                with self.lock:
                    self.accept() if key.fileobj is self.listener else self.take(key.fileobj)
            with self.lock:
                self.pass_on()

    def accept(self):
        near, _ = self.listener.accept()
        try:
            far = socket.create_connection(self.target, timeout=2)
        except OSError:
            near.close()
            return
        for a, b in ((near, far), (far, near)):
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            a.settimeout(2)
            self.peer[a], self.waiting[a] = b, collections.deque()
            self.selector.register(a, selectors.EVENT_READ)

    def take(self, source):
        if source not in self.peer or self.stalled:  # what is not read stays in its sender's buffers, as on a stalled link
            return
        try:
            data = source.recv(self.chunk)
        except OSError:
            data = b""
        if data:
            self.waiting[self.peer[source]].append((time.monotonic() + self.delay, data))
        else:
            self.close(source)

    def pass_on(self):
        now = time.monotonic()
        for sink, queue in list(self.waiting.items()):
            while queue and queue[0][0] <= now and not self.stalled and sink in self.peer:
                _, data = queue.popleft()
                try:
                    sink.sendall(data)
                    self.passed += len(data)
                except OSError:
                    self.close(sink)

    def close(self, end):
        for s in (end, self.peer.get(end)):
            if s in self.peer:
                del self.peer[s], self.waiting[s]
                self.selector.unregister(s)
                s.close()

    # -- faults
    def stall(self, yes=True):
        with self.lock:
            self.stalled = yes

    def reset_all(self):
        """Every connection ends with a reset, whatever was under way."""
        with self.lock:
            for end in list(self.peer):
                if end in self.peer:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close(end)

    def stop(self):
        self.over = True
        self.join(timeout=10)
        self.reset_all()
        self.listener.close()
