#!/bin/sh
# build.sh [OUTDIR] - makes a real Debian guest: OUTDIR/debian/{vmlinuz,initrd,disk.qcow2,cmdline}, with systemd, cloud-init, the guest
# agent and Debian's cloud kernel. A minute or two; when nothing changed it returns at once. OUTDIR is ./images if not given; remove
# OUTDIR/debian/stamp to have the packages of today. Root, for the owners of the files; nothing is mounted, nothing is booted.
# Packages: mmdebstrap, e2fsprogs, qemu-utils.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-images}/debian"
out=$(cd "${1:-images}/debian" && pwd)
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
umask 022
suite=bookworm

# What makes it a machine, what configures it at birth, and what answers for it. A disk of its own size is given at birth.
packages=systemd-sysv,udev,kmod,dbus,linux-image-cloud-amd64,initramfs-tools,ifupdown,isc-dhcp-client,iproute2
packages=$packages,cloud-init,qemu-guest-agent,e2fsprogs,sudo,ca-certificates
disk_mib=1536

die() {
    echo "build.sh: $*" >&2
    exit 1
}
for program in mmdebstrap mke2fs qemu-img; do
    command -v "$program" >/dev/null || die "no $program: install mmdebstrap, e2fsprogs and qemu-utils"
done

exec 9>"$out/.lock" # two at once take turns
flock 9
stamp=$(cat "$here/build.sh" "$here/cmdline" "$here/cloud.cfg" | sha256sum | cut -d ' ' -f 1)
if [ -s "$out/vmlinuz" ] && [ -s "$out/initrd" ] && [ -s "$out/disk.qcow2" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
[ "$(id -u)" = 0 ] || die 'the files of a Debian have owners: run it as root'
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
chmod 0755 "$work" # the packages' own users enter it

# 1. The system. The host's own sources for this release (a mirror in house, say), if it has any; else Debian's.
sources=$(grep -lE "^(Suites:.*|deb .*) $suite( |\$)" /etc/apt/sources.list /etc/apt/sources.list.d/*.sources \
    /etc/apt/sources.list.d/*.list 2>/dev/null || true)
# shellcheck disable=SC2086 # one word a file
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "$suite" "$work/root" $sources >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    die "mmdebstrap failed. It fetches packages: does 'apt-get update' work on this machine?"
}
root=$work/root

# 2. Its configuration: cloud-init looks for a seed and nowhere else; who it is, it learns at its birth.
cp "$here/cloud.cfg" "$root/etc/cloud/cloud.cfg.d/95-mayfly.cfg"
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo 'LABEL=mayfly-root / ext4 errors=remount-ro 0 1' >"$root/etc/fstab"
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# 3. An initial RAM disk of what this machine has: it is small, and unpacked at every birth.
echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/mayfly"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >>"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    die 'update-initramfs failed'
}
cp -L "$root"/boot/vmlinuz-* "$work/vmlinuz"
cp -L "$root"/boot/initrd.img-* "$work/initrd"
rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/dev/*

# 4. The disk, without a loop mount.
mke2fs -q -t ext4 -L mayfly-root -m 1 -d "$root" "$work/disk.raw" "${disk_mib}M" || die 'mke2fs failed'
qemu-img convert -c -O qcow2 "$work/disk.raw" "$work/disk.qcow2" || die 'qemu-img failed'

# 5. Into place, the stamp last.
rm -f "$out/stamp"
for file in vmlinuz initrd disk.qcow2; do
    chmod 0644 "$work/$file"
    mv "$work/$file" "$out/$file"
done
cp "$here/cmdline" "$out/cmdline"
echo "$stamp" >"$out/stamp"
echo "build.sh: $out: $(wc -c <"$out/disk.qcow2") bytes of disk, $(wc -c <"$out/initrd") of initrd" >&2
