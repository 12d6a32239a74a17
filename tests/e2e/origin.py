"""Where images come from: nginx on free ports of this machine, told to be slow, to die, to come back; and one that cuts its answers short."""
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

from cluster import wait_until

CONF = """
worker_processes 1;
daemon off;
master_process on;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
  log_format bytes '$request_uri $status $body_bytes_sent $http_range';
  access_log {dir}/access.log bytes;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  default_type application/octet-stream;
  sendfile on;
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    location /files/ {{ alias {dir}/files/; }}
    location /slow/ {{ alias {dir}/files/; limit_rate {rate}; }}
    location /loop {{ return 302 /loop; }}
    location /away {{ return 302 file:///etc/passwd; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /files/$1 redirect; }}
    location /page {{ default_type text/html; return 200 "<!DOCTYPE html><html><body>please sign in</body></html>"; }}
    location /closed {{ return 403; }}
    location /busy {{ return 503; }}
  }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Origin:
    """rate: what /slow/ sends a second. Files are put below /files/, and read by other ways alike."""

    def __init__(self, folder, rate="512k"):
        self.dir, self.port, self.tls_port, self.rate, self.process = pathlib.Path(folder), free_port(), free_port(), rate, None
        (self.dir / "files").mkdir(parents=True)
        for folder in (self.dir, self.dir / "files"):
            folder.chmod(0o755)
        self.ca = self.dir / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=origin",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.dir / "key.pem", "-out", self.ca], check=True, capture_output=True)
        self.start()

    def start(self):
        (self.dir / "nginx.conf").write_text(CONF.format(dir=self.dir, port=self.port, tls_port=self.tls_port, rate=self.rate))
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin")
        assert nginx, "nginx is not installed; see deploy/packages.txt"
        self.process = subprocess.Popen([nginx, "-p", str(self.dir), "-c", str(self.dir / "nginx.conf"), "-e", str(self.dir / "error.log")])
        wait_until(self.answers, 20, "nginx answers")

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def answers(self):
        assert self.process.poll() is None, (self.dir / "error.log").read_text()
        return self.listens()

    def workers(self):
        done = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in done.stdout.split()]

    def kill(self):
        """Master and workers at once, in the middle of whatever they send."""
        for pid in (self.process.pid, *self.workers()):  # a master that lives would start another worker
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not self.listens(), 20, "nobody is left of nginx")

    def hold(self, still):
        """Connections stay open, and nothing comes."""
        for pid in self.workers():
            os.kill(pid, signal.SIGSTOP if still else signal.SIGCONT)

    def end(self):
        if self.process.poll() is None:
            self.kill()

    def put(self, name, data):
        (self.dir / "files" / name).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def disk(self, name, mib=1):
        """A raw disk that is like no other; its digest."""
        return self.put(name, os.urandom(mib << 20))

    def url(self, place, tls=False):
        return f"https://127.0.0.1:{self.tls_port}/{place}" if tls else f"http://127.0.0.1:{self.port}/{place}"

    def requests(self, place=""):
        """What was asked for: [(path, status, bytes sent, range)]."""
        log = self.dir / "access.log"
        rows = [line.split(" ", 3) for line in log.read_text().splitlines()] if log.exists() else []
        return [(r[0], int(r[1]), int(r[2]), r[3]) for r in rows if place in r[0]]


class Cutter(threading.Thread):
    """An HTTP server that promises a whole file and closes after a part of it, each time: `sent` bytes from where it was asked to begin."""

    def __init__(self, data, sent, ranges=True):
        super().__init__(daemon=True)
        self.data, self.sent, self.ranges, self.asked = data, sent, ranges, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                self.answer(peer)

    def answer(self, peer):
        head = b""
        while b"\r\n\r\n" not in head:
            more = peer.recv(4096)
            if not more:
                return
            head += more
        self.asked += 1
        start = 0
        if self.ranges and b"Range: bytes=" in head:
            start = int(head.split(b"Range: bytes=")[1].split(b"-")[0])
        status = b"206 Partial Content" if start else b"200 OK"
        extra = b"Content-Range: bytes %d-%d/%d\r\n" % (start, len(self.data) - 1, len(self.data)) if start else b""
        peer.sendall(b"HTTP/1.1 %s\r\nETag: \"one\"\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n" % (status, len(self.data) - start, extra))
        peer.sendall(self.data[start:start + self.sent])

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
