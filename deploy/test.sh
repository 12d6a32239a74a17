#!/usr/bin/env bash
# Install what is missing, build with AddressSanitizer and UBSan, run every test through ctest.
#   deploy/test.sh [ctest arguments]     e.g. deploy/test.sh -L unit, deploy/test.sh -R sim
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/packages.sh build run test container
cmake --preset dev >/dev/null
cmake --build --preset dev
exec ctest --preset dev "$@"
