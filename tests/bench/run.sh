#!/usr/bin/env bash
# Every benchmark, one JSON object a line, on the release build. The long ones take minutes; run it on an idle machine.
#   tests/bench/run.sh [provision create warm-birth neighbour guest-death spare node-death node-silence broker-kill memory shell-birth thousand core rack-loss headroom partitions false-verdicts swarm-false-verdicts swarm-mass-loss container-up container-restart container-kill image-cold]
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${MAYFLY_BUILD:-build/release}
export MAYFLY_BIN=$PWD/$build/bin MAYFLY_IMAGE_ROOT=$PWD/$build/images PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
[ $# -gt 0 ] || set -- provision create warm-birth neighbour guest-death spare node-death node-silence broker-kill memory shell-birth thousand core rack-loss headroom partitions false-verdicts swarm-false-verdicts swarm-mass-loss container-up container-restart container-kill image-cold

with_cluster() { # driver, command...: a one-node cluster around the command, which sees MAYFLY_BROKER, MAYFLY_KEY and $scratch
    local driver=$1 state scratch code=0
    shift
    state=$(mktemp -d /tmp/mf-XXXXXX) scratch=$state/scratch
    mkdir "$scratch"
    "$MAYFLY_BIN/mayfly" dev up --state "$state" --nodes 1 --driver "$driver" >/dev/null
    (eval "$("$MAYFLY_BIN/mayfly" dev env --state "$state")" && scratch=$scratch "$@") || code=$?
    "$MAYFLY_BIN/mayfly" dev down --state "$state" >/dev/null
    rm -rf "$state"
    return $code
}

deploy/images/tiny/build.sh "$MAYFLY_IMAGE_ROOT" >/dev/null
for bench; do
    case "$bench" in
    provision) with_cluster null bash -c '"$0" "$MAYFLY_BROKER" "$MAYFLY_KEY" "$scratch" 1000' "$build/bench/bench-provision" ;;
    create) with_cluster libvirt bash -c '"$0" "$MAYFLY_BROKER" "$MAYFLY_KEY" "$scratch" "$MAYFLY_IMAGE_ROOT/tiny/vmlinuz" "$MAYFLY_IMAGE_ROOT/tiny/initrd" 40' "$build/bench/bench-create" ;;
    warm-birth) $python tests/bench/warm_birth.py ;;
    neighbour) $python tests/bench/neighbour.py ;;
    guest-death) $python tests/bench/guest_death.py ;;
    spare) $python tests/bench/spare.py ;;
    node-death) $python tests/bench/node_death.py ;;
    node-silence) $python tests/bench/node_death.py --freeze ;;
    broker-kill) $python tests/bench/broker_kill.py ;;
    shell-birth) $python tests/bench/shells.py birth ;;
    thousand) $python tests/bench/shells.py thousand ;;
    memory) $python tests/bench/memory.py ;;
    core) "$build/bench/bench-core" ;;
    rack-loss) "$build/bench/bench-rack-loss" ;;
    placement) "$build/bench/bench-placement" ;;
    headroom) "$build/bench/bench-headroom" ;;
    partitions) $python tests/bench/partitions.py ;;
    false-verdicts) $python tests/bench/false_verdicts.py ;;
    swarm-false-verdicts) $python tests/bench/swarm.py false-verdicts --minutes "${MAYFLY_MINUTES:-10}" ;;
    swarm-mass-loss) $python tests/bench/swarm.py mass-loss ;;
    image-cold) $python tests/bench/images.py ;;
    container-up | container-restart | container-kill) $python tests/bench/containers.py "${bench#container-}" ;;
    *) echo "no benchmark '$bench'" >&2; exit 2 ;;
    esac
done
