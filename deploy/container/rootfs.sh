#!/usr/bin/env bash
# rootfs.sh DIR NEED... - unpacks what deploy/packages.txt lists for NEED..., with what that depends on, into DIR: the root of a
# container image. Nothing is installed: no package's script runs, so there is no package manager, no perl and no shell but busybox.
# Used by build.sh on the host and by the Containerfile in its stage `roots`. Needs mmdebstrap; fetches from Debian alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

[ $# -ge 2 ] || { echo "usage: deploy/container/rootfs.sh DIR NEED..." >&2; exit 2; }
root=$1
shift
packages=$("$here/../packages.sh" --list "$@" | sort | paste -sd,)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The host's own sources for this release, if it is a Debian of that release (a mirror in house, say); else Debian's.
suite=bookworm
sources=$(grep -lE "^(Suites:.*|deb .*) $suite( |\$)" /etc/apt/sources.list /etc/apt/sources.list.d/*.sources \
    /etc/apt/sources.list.d/*.list 2>/dev/null || true)

# Not needed to run: manuals and translations (licences stay), what reads foreign character sets, what guesses file types, and the
# programs that come beside qemu-img.
without=(/usr/share/man /usr/share/locale /usr/share/info /usr/share/lintian /usr/share/bug /usr/share/gdb /usr/share/initramfs-tools
    /usr/share/bash-completion /usr/share/zsh /usr/lib/x86_64-linux-gnu/gconv /usr/lib/file /etc/apt
    /usr/lib/x86_64-linux-gnu/perl-base /usr/share/perl5 /usr/share/debconf /etc/init.d /etc/logrotate.d /etc/cron.daily /boot)
filter=(--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright'
    --dpkgopt='path-exclude=/usr/bin/qemu-nbd' --dpkgopt='path-exclude=/usr/bin/qemu-io'
    --dpkgopt='path-exclude=/usr/bin/qemu-storage-daemon')
case " $* " in *' machine '*) ;; *) without+=(/usr/lib/systemd /lib/systemd) ;; esac
for path in "${without[@]}"; do filter+=("--dpkgopt=path-exclude=$path/*"); done

# shellcheck disable=SC2086 # one word a file
mmdebstrap --quiet --variant=extract --setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh "${filter[@]}" \
    --include="$packages" "$suite" "$work/root.tar" $sources >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "rootfs.sh: mmdebstrap failed. It fetches packages: does 'apt-get update' work on this machine?" >&2
    exit 1
}

rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$work/root.tar" --no-same-owner --exclude=./dev/*

# What the packages' scripts would have done.
ln -s busybox "$root/usr/bin/sh"
rm -rf "$root/var/run"; ln -s /run "$root/var/run" # where libvirt's client looks for a socket
for applet in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done
cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
libvirt-qemu:x:64055:64055:guests:/var/lib/libvirt:/usr/sbin/nologin
mayfly:x:7100:7100:Mayfly:/var/lib/mayfly:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
cat >"$root/etc/group" <<'END'
root:x:0:
kvm:x:64056:libvirt-qemu
libvirt-qemu:x:64055:
mayfly:x:7100:
nogroup:x:65534:
END
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"

# Whom https origins of images are believed for: as this machine does. Their package would bring perl.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi

mkdir -p "$root/var/lib/libvirt"
find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
rm -rf "$root"/var/cache/* "$root"/var/log/* "$root"/var/lib/apt "$root"/etc/hostname "$root"/etc/resolv.conf "$root"/etc/machine-id
ldconfig -r "$root" 2>/dev/null || PATH=$PATH:/sbin:/usr/sbin ldconfig -r "$root"
rm -rf "$root/var/cache/ldconfig"
