#!/usr/bin/env bash
# What deploy/compose.yaml describes, with podman alone: a broker, a monitor and workers that each are a hypervisor of their own, on
# a private network, with keys. deploy/container/build.sh makes the images.
#   deploy/container/up.sh [--workers N] [--driver libvirt|null] [--images DIR] [--demo] [common]
#   deploy/container/up.sh down [--volumes] [common]           ends it; --volumes also forgets its state and keys
#   deploy/container/up.sh mayfly [common] ARGUMENTS...        the command line, e.g. up.sh mayfly nodes
# --workers N      how many (default 3)
# --driver NAME    libvirt (QEMU in the container) or null (simulated guests; default libvirt)
# --images DIR     what guests boot from, given to every worker as /var/lib/mayfly-images
# --demo           makes the tiny image, provisions six guests, and says how long the first took
# common: --name CLUSTER (default mayfly), --prefix IMAGES (localhost/mayfly), --subnet A.B.C (10.89.71), --runtime RUNTIME (runc)
set -euo pipefail
cd "$(dirname "$0")/../.."

began=${EPOCHREALTIME/./}
name=mayfly prefix=localhost/mayfly subnet=10.89.71 runtime='' workers=3 driver=libvirt images='' demo=no volumes=no verb=up
case "${1:-}" in down | mayfly) verb=$1; shift ;; esac
while [ $# -gt 0 ]; do
    case "$1" in
    --name) name=${2:?--name needs a name}; shift ;;
    --prefix) prefix=${2:?--prefix needs a name}; shift ;;
    --subnet) subnet=${2:?--subnet needs three numbers, as 10.89.71}; shift ;;
    --runtime) runtime=${2:?--runtime needs runc or crun}; shift ;;
    --workers) workers=${2:?--workers needs a number}; shift ;;
    --driver) driver=${2:?--driver needs libvirt or null}; shift ;;
    --images) images=${2:?--images needs a directory}; shift ;;
    --demo) demo=yes ;;
    --volumes) volumes=yes ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) [ $verb = mayfly ] && break; echo "up.sh: unknown option '$1' (try --help)" >&2; exit 2 ;;
    esac
    shift
done
say() { printf '[%6d ms] %s\n' $(((${EPOCHREALTIME/./} - began) / 1000)) "$*"; }
podman=(podman)
[ -n "$runtime" ] || runtime=$(command -v runc || true) # crun refuses where both kinds of cgroup are mounted
[ -z "$runtime" ] || podman+=(--runtime "$runtime")

# Every container: no more rights than it needs, no file of its own but on a volume. Podman would raise the limits
# and may not everywhere; so they are said. Where no systemd runs, it has nobody to call a health check.
common=(--label "mayfly.cluster=$name" --network "$name" --read-only --cap-drop all --security-opt no-new-privileges
    --ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit nproc=8192:8192)
# What a worker with QEMU inside may do, and why: docs/CONTAINERS.md.
rights=(IPC_LOCK SYS_NICE SETUID SETGID SETPCAP DAC_OVERRIDE)
[ -S /run/systemd/private ] || common+=(--no-healthcheck)
admin=(run --rm "${common[@]}" -v "$name-keys-admin:/etc/mayfly/keys:ro" -e "MAYFLY_BROKER=tcp://$subnet.2:7100"
    -e MAYFLY_KEY=/etc/mayfly/keys/admin.cert_secret)

case $verb in
down)
    mapfile -t left < <(podman ps -aq --filter "label=mayfly.cluster=$name")
    [ ${#left[@]} = 0 ] || podman rm -f -t 0 "${left[@]}" >/dev/null
    if podman network exists "$name"; then podman network rm "$name" >/dev/null; fi
    if [ $volumes = yes ]; then
        mapfile -t left < <(podman volume ls -q | grep -E "^$name-(keys|state)-" || true)
        [ ${#left[@]} = 0 ] || podman volume rm "${left[@]}" >/dev/null
    fi
    exit 0
    ;;
mayfly) exec "${podman[@]}" "${admin[@]}" --entrypoint mayfly "$prefix-broker" "$@" ;;
esac

worker_image=$prefix-worker
[ "$driver" = null ] || worker_image=$prefix-worker-qemu
for image in "$prefix-broker" "$prefix-health" "$worker_image"; do
    podman image exists "$image" || { echo "up.sh: no image $image: run deploy/container/build.sh" >&2; exit 1; }
done
if podman network exists "$name"; then
    echo "up.sh: a cluster '$name' is up: end it with 'deploy/container/up.sh down --name $name', or give another --name" >&2
    exit 1
fi
if [ $demo = yes ]; then
    images=$PWD/build/container/images
    deploy/packages.sh run
    deploy/images/tiny/build.sh "$images" >/dev/null
    began=${EPOCHREALTIME/./} # the guest's image is not the cluster's to make
fi

say "network and keys"
podman network create --label "mayfly.cluster=$name" --subnet "$subnet.0/24" --ip-range "$subnet.128/25" "$name" >/dev/null
nodes=()
for ((i = 0; i < workers; i++)); do nodes+=("node-$i"); done
secrets=()
for holder in broker health admin "${nodes[@]}"; do secrets+=(-v "$name-keys-$holder:/keys/$holder"); done
"${podman[@]}" run --rm "${common[@]}" --user 0:0 --cap-add CHOWN --cap-add DAC_OVERRIDE "${secrets[@]}" \
    --entrypoint mayfly-keys "$prefix-broker" "${nodes[@]}" >/dev/null

# start ROLE ADDRESS [podman's flags] IMAGE [the program's flags]
start() {
    local role=$1 address=$2
    shift 2
    "${podman[@]}" run -d --name "$name-$role" --hostname "$role" --ip "$subnet.$address" "${common[@]}" \
        -v "$name-keys-$role:/etc/mayfly/keys:ro" "$@" >/dev/null
}
say "broker, monitor, ${#nodes[@]} workers"
start broker 2 -v "$name-state-broker:/var/lib/mayfly" "$prefix-broker" &
starts=($!)
start health 3 "$prefix-health" --broker "tcp://$subnet.2:7100" &
starts+=($!)
guests=()
[ -z "$images" ] || guests=(-v "$images:/var/lib/mayfly-images:ro")
drain=()
[ "$driver" = null ] || { drain=(--drain-on-stop 30000); guests+=(--stop-timeout 40); }
[ "$driver" = null ] || for right in "${rights[@]}"; do guests+=(--cap-add "$right"); done
[ "$driver" = null ] || [ ! -e /dev/kvm ] || guests+=(--device /dev/kvm)
for ((i = 0; i < workers; i++)); do
    start "node-$i" $((10 + i)) -v "$name-state-node-$i:/var/lib/mayfly" "${guests[@]}" "$worker_image" \
        "${drain[@]}" --probe-bind 0.0.0.0:7711 --probe-host "$subnet.$((10 + i))" -- \
        --config /etc/mayfly/agent.yaml --broker "tcp://$subnet.2:7101" --driver "$driver" &
    starts+=($!)
done
for pid in "${starts[@]}"; do wait "$pid"; done
say "all started"

if [ $demo = no ]; then
    echo "up.sh: deploy/container/up.sh mayfly --name $name nodes; deploy/container/up.sh down --name $name"
    exit 0
fi
"${podman[@]}" "${admin[@]}" -v "$images:/var/lib/mayfly-images:ro" --entrypoint sh "$prefix-broker" -ec '
    mayfly offering add small --vcpus 1 --memory-mib 128 --disk-mib 64
    mayfly image add tiny --image-root /var/lib/mayfly-images --kernel tiny/vmlinuz --initrd tiny/initrd --cmdline "$(cat /var/lib/mayfly-images/tiny/cmdline)"
    mayfly provision --group web --count 1 --image tiny --offering small --wait --timeout 40' >/dev/null
say "the first instance runs"
"${podman[@]}" "${admin[@]}" --entrypoint sh "$prefix-broker" -ec 'mayfly scale web 6 --wait --timeout 40 >/dev/null; mayfly instances'
say "six run"
