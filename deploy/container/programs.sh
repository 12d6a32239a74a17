#!/usr/bin/env bash
# programs.sh BIN DIR - what of a build goes into the images: DIR/programs gets the stripped programs and the images' settings.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 2 ] || { echo "usage: deploy/container/programs.sh BIN DIR" >&2; exit 2; }
mkdir -p "$2/programs/empty" # what the images' state and key directories are made from
for program in mayfly mayfly-broker mayfly-plan mayfly-health mayfly-keeper mayfly-agent mayfly-null; do
    [ -x "$1/$program" ] || { echo "programs.sh: $1/$program is not there: build it first" >&2; exit 1; }
    strip --strip-unneeded -o "$2/programs/$program" "$1/$program"
    chmod 0755 "$2/programs/$program"
done
install -m 0644 "$here"/etc/*.yaml "$2/programs/"
install -m 0755 "$here/keys.sh" "$2/programs/mayfly-keys"
