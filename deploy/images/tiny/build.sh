#!/bin/sh
# build.sh [OUTDIR] - makes the tiny guest: OUTDIR/tiny/{vmlinuz,initrd,cmdline}, from Debian's cloud kernel and busybox.
# The same inputs give the same bytes; when nothing changed it returns at once. OUTDIR is ./images if not given.
# Packages: linux-image-cloud-amd64 (fetched without installing where it is missing), busybox-static, cpio, kmod.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-images}/tiny"
out=$(cd "${1:-images}/tiny" && pwd)
export LC_ALL=C
umask 022

# What the guest needs: its bus, disk, network, seed, power button, the ports by which it says how it is, and the device by
# which it tells of a panic. depmod knows what these need in turn, and in which order.
modules='virtio_pci virtio_blk virtio_net isofs button evdev virtio_console pvpanic_mmio'

die() {
    echo "build.sh: $*" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# 1. The newest cloud kernel: the installed one, or else the package's content.
root=
kernel=$(ls -1 /boot/vmlinuz-*-cloud-amd64 2>/dev/null | sort -V | tail -n 1)
version=${kernel#/boot/vmlinuz-}
if [ -z "$kernel" ] || [ ! -r "$kernel" ] || [ ! -d "/lib/modules/$version/kernel" ]; then
    echo 'build.sh: no readable cloud kernel is installed; fetching the package' >&2
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1)
    [ -n "$package" ] || die 'apt knows no linux-image-cloud-amd64: run "apt-get update", or install it'
    (cd "$work" && apt-get download -q "$package" >/dev/null && dpkg -x "$package"_*.deb root) ||
        die "cannot fetch $package: install linux-image-cloud-amd64"
    root=$work/root
    kernel=$(ls -1 "$root"/boot/vmlinuz-*-cloud-amd64)
    version=${kernel##*/vmlinuz-}
    # The package of a merged-/usr release may hold either folder.
    [ -d "$root/lib/modules" ] || ln -s usr/lib "$root/lib"
    depmod -b "$root" "$version"
fi
busybox=/bin/busybox
[ -x "$busybox" ] || die 'no /bin/busybox: install busybox-static'
if ldd "$busybox" >/dev/null 2>&1; then
    die '/bin/busybox is not static: install busybox-static'
fi

exec 9>"$out/.lock" # two at once take turns
flock 9

# 2. Nothing to do if this was made from just these inputs.
stamp=$(cat "$here/build.sh" "$here/init" "$here/cmdline" "$kernel" "$busybox" | sha256sum | cut -d ' ' -f 1)
if [ -s "$out/vmlinuz" ] && [ -s "$out/initrd" ] && [ -s "$out/cmdline" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

# 3. The initial RAM disk.
tree=$work/tree
mkdir -p "$tree/bin" "$tree/dev" "$tree/etc" "$tree/modules" "$tree/proc" "$tree/root" "$tree/run" "$tree/sbin" "$tree/seed" \
    "$tree/sys" "$tree/tmp" "$tree/usr/bin" "$tree/usr/sbin" "$tree/var"
cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list-full); do
    case $applet in
    bin/busybox) ;;
    *) ln -s /bin/busybox "$tree/$applet" 2>/dev/null || { mkdir -p "$tree/${applet%/*}" && ln -s /bin/busybox "$tree/$applet"; } ;;
    esac
done
[ -e "$tree/bin/sh" ] || [ -L "$tree/bin/sh" ] || ln -s /bin/busybox "$tree/bin/sh"
cp "$here/init" "$tree/init"
chmod 0755 "$tree/init" "$tree/bin/busybox"
echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"

for module in $modules; do
    PATH=$PATH:/usr/sbin:/sbin modprobe ${root:+-d "$root"} -S "$version" --show-depends "$module" ||
        die "the kernel $version has no module $module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/list"
# virtio_ring has to be there before virtio: depmod's order, kept.
while read -r file; do
    case $file in
    *.ko) ;;
    *) die "$file is compressed; this builder expects plain modules" ;;
    esac
    cp "$file" "$tree/modules/"
    echo "${file##*/}" >>"$tree/modules/order"
done <"$work/list"

# 4. Reproducible: sorted names, one time, one owner.
find "$tree" -exec touch -h -d @0 {} +
(cd "$tree" && find . | sort | cpio --quiet --reproducible -o -H newc -R 0:0 --device-independent) >"$work/initrd.cpio"
gzip -n -9 <"$work/initrd.cpio" >"$work/initrd"

# 5. Into place, the stamp last.
rm -f "$out/stamp"
cp "$kernel" "$out/vmlinuz.new" && mv "$out/vmlinuz.new" "$out/vmlinuz"
cp "$work/initrd" "$out/initrd.new" && mv "$out/initrd.new" "$out/initrd"
cp "$here/cmdline" "$out/cmdline"
chmod 0644 "$out/vmlinuz" "$out/initrd" "$out/cmdline"
echo "$stamp" >"$out/stamp"
echo "build.sh: $out: kernel $version, $(wc -c <"$out/initrd") bytes of initrd" >&2
