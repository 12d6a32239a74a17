#!/usr/bin/env bash
# The main job on this machine, told as it happens: three hypervisors, six guests, one hypervisor killed, its guests reborn.
#   deploy/quickstart.sh [--keep] [--driver libvirt|null] [--state DIR]
# --keep leaves the cluster up and prints how to talk to it. On a fresh Debian 12, as root; reaches nothing but Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=no driver=libvirt state=
while [ $# -gt 0 ]; do
    case "$1" in
    --keep) keep=yes ;;
    --driver) driver=${2:?--driver needs libvirt or null}; shift ;;
    --state) state=${2:?--state needs a directory}; shift ;;
    -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart: unknown option '$1' (try --help)" >&2; exit 2 ;;
    esac
    shift
done

bold= dim= off=
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
began=${EPOCHREALTIME/./}
say() { printf '%s[%7d ms]%s %s%s%s\n' "$dim" $(((${EPOCHREALTIME/./} - began) / 1000)) "$off" "$bold" "$*" "$off"; }
show() { sed 's/^/             /'; }

say "Installing what is missing and building (the first time takes a few minutes)"
deploy/packages.sh build run
build=build/quickstart
cmake --preset release -B "$build" -DMAYFLY_TESTS=OFF >/dev/null
cmake --build "$build" >"$build/quickstart-build.log" 2>&1 || { tail -n 30 "$build/quickstart-build.log" >&2; exit 1; }
PATH=$PWD/$build/bin:$PATH
images=$PWD/$build/images
if [ "$driver" = libvirt ]; then
    say "Making the tiny guest image: Debian's cloud kernel and a busybox initramfs"
    deploy/images/tiny/build.sh "$images" >/dev/null 2>&1
    export MAYFLY_IMAGE_ROOT=$images
fi

made=no
[ -n "$state" ] || { state=$(mktemp -d /tmp/mayfly-XXXXXX); made=yes; }
finish() {
    local code=$?
    trap - EXIT
    if [ "$keep" = yes ] && [ $code = 0 ]; then exit 0; fi
    mayfly dev down --state "$state" >/dev/null 2>&1 || true
    if [ "$made" = yes ] && [ $code = 0 ]; then rm -rf "$state"; fi
    [ $code = 0 ] || echo "quickstart: failed; the logs are in $state/log" >&2
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

began=${EPOCHREALTIME/./}
say "Starting a broker, a health monitor and three workers, each its own hypervisor; CURVE keys on every socket"
mayfly dev up --state "$state" --nodes 3 --driver "$driver" 2>&1 | show
eval "$(mayfly dev env --state "$state")"
mayfly nodes | show

cat >"$state/hello.sh" <<'USERDATA'
#!/bin/sh
echo "hello from $(hostname): this line was written by the user-data script"
USERDATA
say "Asking the bus for six instances of role 'web', spread over hosts, with a user-data script"
mayfly provision --group web --count 6 --image tiny --offering small --spread host --user-data "$state/hello.sh" --wait 2>&1 | show
say "All six run"
mayfly instances --group web | show

if [ "$driver" = libvirt ]; then
    say "What the guest in slot web/0 says on its serial line (it boots under emulation: a few seconds)"
    for _ in $(seq 1 120); do
        if mayfly logs web/0 2>/dev/null | grep -q 'hello from'; then break; fi
        read -r -t 0.5 _ <> <(:) || true
    done
    mayfly logs web/0 | grep -a -E 'mayfly:|hello from' | show
fi

from=$(($(mayfly status -o json | sed -n 's/.*"seq": *\([0-9]*\).*/\1/p' | head -n 1) + 1))
say "Killing hypervisor node-1: kill -9 of its keeper, its agent and every guest on it"
killed=${EPOCHREALTIME/./}
mayfly dev kill node-1 --state "$state" 2>&1 | show
mayfly events --follow --from "$from" --filter node.failed --count 1 --timeout 30 >/dev/null
say "The monitor's verdict is out, $(((${EPOCHREALTIME/./} - killed) / 1000)) ms after the kill; replacements are being born on the others"
mayfly scale web 6 --wait 2>&1 | show
say "Six run again, $(((${EPOCHREALTIME/./} - killed) / 1000)) ms after the kill"
mayfly events --from "$from" | show
mayfly instances --group web | show

reborn=$(mayfly instances --group web -o json | tr '{' '\n' | sed -n 's/.*"generation": *2.*/&/p' | sed -n 's/.*"slot": *\([0-9]*\).*/\1/p' | head -n 1)
say "Why does slot web/${reborn:-0} run where it runs?"
mayfly why "web/${reborn:-0}" | show

if [ "$keep" = yes ]; then
    say "Kept. To talk to it:"
    {
        echo "export PATH=$PWD/$build/bin:\$PATH"
        echo "eval \"\$(mayfly dev env --state $state)\""
        echo "mayfly status; mayfly instances; mayfly events --follow; mayfly dev kill node-2; mayfly dev start node-1"
        echo "mayfly dev down --state $state        # ends it"
    } | show
    exit 0
fi

say "Bringing node-1 back: what was replaced while it was away is proven gone before it is used again"
mayfly dev start node-1 --state "$state" 2>&1 | show
mayfly nodes | show

say "Destroying the group"
mayfly destroy web --wait 2>&1 | show
say "What is left"
mayfly groups | show
mayfly instances | show
mayfly dev down --state "$state" 2>&1 | show
left=0
for line in /proc/[0-9]*/cmdline; do
    case "$line" in "/proc/$$/cmdline") continue ;; esac
    case "$({ tr '\0' ' ' <"$line"; } 2>/dev/null || true)" in *"$state"*) left=$((left + 1)) ;; esac
done
say "Processes left that belong to it: $left"
[ "$left" = 0 ] || { echo "quickstart: something was left running" >&2; exit 1; }
say "Done"
