#!/bin/bash
# Runs a command in a network namespace of its own, where every port is free: such tests run side by side. Needs root
# (tests/e2e/CMakeLists.txt asks, and lets them take turns where it cannot be had). With nothing but loopback in it,
# what looks for a second address of this host finds 127.0.0.2.
set -euo pipefail
exec unshare --net sh -c 'ip link set lo up && ip address add 127.0.0.2/8 dev lo && exec "$@"' sh "$@"
