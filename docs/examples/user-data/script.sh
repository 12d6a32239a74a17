#!/bin/sh
# A plain script: run once, as root, late in the boot. What it prints goes to the console: `mayfly logs GROUP/SLOT`.
set -eu
url=https://artifacts.example.org/web/web-server-1.4.2
sha256=0000000000000000000000000000000000000000000000000000000000000000

wget -q -O /usr/local/bin/web-server "$url"
echo "$sha256  /usr/local/bin/web-server" | sha256sum -c -
chmod 0755 /usr/local/bin/web-server
systemd-run --unit web-server /usr/local/bin/web-server --listen :80
# Its group asks for `ready: port`: this line is what it waits for.
[ ! -e /dev/virtio-ports/org.mayfly.ready ] || echo ready >/dev/virtio-ports/org.mayfly.ready
