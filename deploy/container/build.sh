#!/usr/bin/env bash
# Builds the images that deploy/container/Containerfile describes where no registry can be reached: Debian's packages are unpacked
# by mmdebstrap on this machine, the programs are built on this machine, buildah puts both together. A second run takes seconds.
#   deploy/container/build.sh [--bin DIR] [--prefix NAME] [--tag TAG] [--only IMAGE]... [--fresh]
# --bin DIR      take the programs from there (default: build the preset `release` into build/container)
# --prefix NAME  images are NAME-broker, NAME-health, NAME-worker, NAME-worker-qemu (default localhost/mayfly)
# --tag TAG      beside `latest` (default: the project's version)
# --only IMAGE   broker, health, worker or worker-qemu; may be given again
# --fresh        fetch Debian's packages again (security updates); else what was unpacked before is used
set -euo pipefail
cd "$(dirname "$0")/../.."

bin='' prefix=localhost/mayfly fresh=no only=()
tag=$(sed -n 's/^project(mayfly VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
while [ $# -gt 0 ]; do
    case "$1" in
    --bin) bin=${2:?--bin needs a directory}; shift ;;
    --prefix) prefix=${2:?--prefix needs a name}; shift ;;
    --tag) tag=${2:?--tag needs a tag}; shift ;;
    --only) only+=("${2:?--only needs an image}"); shift ;;
    --fresh) fresh=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "build.sh: unknown option '$1' (try --help)" >&2; exit 2 ;;
    esac
    shift
done
[ ${#only[@]} -gt 0 ] || only=(broker health worker worker-qemu)
die() { echo "build.sh: $*" >&2; exit 1; }
needs_of() {
    case "$1" in
    broker | health | worker) echo "image image-$1" ;;
    worker-qemu) echo "image image-worker image-qemu" ;;
    *) die "no image '$1': broker, health, worker or worker-qemu" ;;
    esac
}
for image in "${only[@]}"; do needs_of "$image" >/dev/null; done
deploy/packages.sh container

# 1. The programs.
cache=build/container
mkdir -p "$cache"
exec 9>"$cache/.lock" # two at once take turns
flock 9
if [ -z "$bin" ]; then
    deploy/packages.sh build
    cmake --preset release -B "$cache/release" -DMAYFLY_TESTS=OFF >/dev/null
    cmake --build "$cache/release" >"$cache/build.log" 2>&1 || { tail -n 30 "$cache/build.log" >&2; exit 1; }
    bin=$cache/release/bin
fi
context=$(mktemp -d "$PWD/$cache/context-XXXXXX")
trap 'rm -rf "$context"' EXIT
deploy/container/programs.sh "$bin" "$context/made"
if ldd "$context/made/programs/mayfly-agent" | grep -q 'lib[at]san'; then
    die "$bin holds programs with sanitizers, whose libraries the images do not hold: give --bin a release build"
fi

# 2. The roots: each is made once for its list of packages.
roots=$PWD/$cache/roots
mkdir -p "$roots"
for image in "${only[@]}"; do
    read -ra needs < <(needs_of "$image")
    key=$({ cat deploy/container/rootfs.sh; deploy/packages.sh --list "${needs[@]}"; } | sha256sum | cut -c1-16)
    if [ "$fresh" = yes ] || [ "$(cat "$roots/$image.key" 2>/dev/null)" != "$key" ]; then
        echo "build.sh: unpacking Debian's packages for $image" >&2
        rm -f "$roots/$image.key"
        deploy/container/rootfs.sh "$roots/$image" "${needs[@]}"
        echo "$key" >"$roots/$image.key"
    fi
done

# 3. The images: the part of the Containerfile that runs nothing, with what was made here in the place of its first stages. The
# same inputs make the same image.
sed -n '/^# ---- what build.sh builds/,$p' deploy/container/Containerfile >"$context/Containerfile"
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
for image in "${only[@]}"; do
    sed -n "/^FROM scratch AS $image\$/,/^FROM/{/^FROM scratch AS $image\$/p;/^FROM/!p}" "$context/Containerfile" >"$context/one"
    buildah bud --quiet --isolation chroot --format docker --layers --timestamp "$epoch" \
        --build-context roots="$roots" --build-context programs="$context/made" \
        --label mayfly.images="$prefix" --label org.opencontainers.image.version="$tag" --label org.opencontainers.image.revision="$revision" \
        --tag "$prefix-$image:latest" --tag "$prefix-$image:$tag" -f "$context/one" "$context" >"$context/log" 2>&1 || {
        cat "$context/log" >&2
        die "buildah could not make $prefix-$image"
    }
done
podman image prune --force --filter "label=mayfly.images=$prefix" >/dev/null # those that had these names before
for image in "${only[@]}"; do
    size=$(podman image inspect --format '{{.Size}}' "$prefix-$image:$tag")
    printf '%-40s %4d MB\n' "$prefix-$image:$tag" $((size / 1000000))
done
