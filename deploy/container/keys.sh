#!/bin/sh
# mayfly-keys NODE... - makes what is missing of a cluster's keys, each where its holder alone is given it:
#   /keys/broker (a key directory), /keys/health/health.cert_secret, /keys/admin/admin.cert_secret, /keys/NODE/node.cert_secret
# Run once, as root, in a container of the broker's image with a volume at each of these; run again it changes nothing.
set -eu
export MAYFLY_KEYS=/keys/broker
[ -e $MAYFLY_KEYS/broker.cert_secret ] || mayfly key init $MAYFLY_KEYS
create() { # ROLE NAME FILE
    [ -e "$3" ] || mayfly key create --role "$1" --out "$3" "$2"
}
create monitor health /keys/health/health.cert_secret
create operator admin /keys/admin/admin.cert_secret
for node in "$@"; do create worker "$node" "/keys/$node/node.cert_secret"; done
chown -R 7100:7100 /keys/broker /keys/health /keys/admin # broker, monitor and command line run as this user; a worker as root
