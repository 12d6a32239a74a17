#!/usr/bin/env bash
# Install what is missing of deploy/packages.txt for the given needs (build, run, test, container). Asks the package registry
# only when something is missing, and keeps packages from starting daemons on machines where nothing supervises them.
#   deploy/packages.sh NEED...            e.g. deploy/packages.sh build run
#   deploy/packages.sh --list NEED...     only prints their names
set -euo pipefail
cd "$(dirname "$0")"

only_list=no
if [ "${1:-}" = --list ]; then only_list=yes; shift; fi
needs=("$@")
[ ${#needs[@]} -gt 0 ] || { echo "usage: deploy/packages.sh [--list] build|run|test|container|image... ..." >&2; exit 2; }

wanted=()
while read -r package need _; do
    case "$package" in '' | '#'*) continue ;; esac
    for n in "${needs[@]}"; do
        case ",$need," in *",$n,"*) wanted+=("$package"); break ;; esac
    done
done <packages.txt
if [ $only_list = yes ]; then printf '%s\n' "${wanted[@]}"; exit 0; fi

missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)" = "install ok installed" ] || missing+=("$package")
done
# Debian's libvirt looks this user up when it starts, even where QEMU runs as another; only libvirt-daemon-system, which we
# do not need, would make it.
make_qemu_user() {
    case " ${needs[*]} " in *' run '*) ;; *) return 0 ;; esac
    if [ "$(id -u)" != 0 ] || id libvirt-qemu >/dev/null 2>&1; then return 0; fi
    getent group kvm >/dev/null || groupadd --system kvm
    useradd --system --user-group --groups kvm --home-dir /var/lib/libvirt --no-create-home --shell /usr/sbin/nologin libvirt-qemu
}
[ ${#missing[@]} -gt 0 ] || { make_qemu_user; exit 0; }

[ "$(id -u)" = 0 ] || { echo "These Debian packages are missing; install them as root: ${missing[*]}" >&2; exit 1; }
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}" >&2

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "apt-get failed; its whole output is in $log. Mend the machine's package sources and run this again." >&2
    exit 1
fi
rm -f "$log"
make_qemu_user
