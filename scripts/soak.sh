#!/bin/bash
# The long forms of what scripts/test.sh runs short; run before an issue is closed:
#   scripts/soak.sh [ROUNDS] [--seed N] [--fuzz-minutes N] [--load-minutes N] [--mixed-minutes N] [--platform NAME]
# ROUNDS (100) times on each platform a daemon is killed at random moments, with a random fault point or after a
# random delay, and the next ones must lose nothing and leave nothing; then N minutes (2) of chats and streams
# while services start and stop, with no error; then N minutes (60) of everything at once with clients that vanish in
# every phase, after which nothing may be left; then N minutes (10) of each fuzzer. Every seed is printed, and
# --seed repeats it. As root it uses a Docker engine of its own where none runs. Ends with a line a part; not 0
# when one failed.
set -uo pipefail
cd "$(dirname "$0")/.."

rounds=100
seed=$((RANDOM * 32768 + RANDOM))
fuzz_minutes=10
load_minutes=2
mixed_minutes=60
platforms=(local-process local-docker)

usage() {
  sed -n '3s/^# *//p' "$0"
}

while [ $# -gt 0 ]; do
  case "$1" in
    --seed) seed=${2:?--seed needs a number}; shift ;;
    --fuzz-minutes) fuzz_minutes=${2:?--fuzz-minutes needs a number}; shift ;;
    --load-minutes) load_minutes=${2:?--load-minutes needs a number}; shift ;;
    --mixed-minutes) mixed_minutes=${2:?--mixed-minutes needs a number}; shift ;;
    --platform) platforms=("${2:?--platform needs a name}"); shift ;;
    -h | --help) usage; exit 0 ;;
    *[!0-9]* | '') echo "soak.sh: unknown argument \"$1\"; usage: $(usage)" >&2; exit 2 ;;
    *) rounds=$1 ;;
  esac
  shift
done

results=$PWD/build/soak
rm -rf "$results"
mkdir -p "$results"
status=0
echo "soak.sh: seed $seed"

# part NAME COMMAND...: runs it, and keeps its last line for the summary.
part() {
  local name=$1 begun=$SECONDS outcome=passed
  shift
  echo "=== $name"
  "$@" 2>&1 | tee "$results/$name.log" || outcome=FAILED
  [ "$outcome" = passed ] || status=1
  echo "$outcome after $((SECONDS - begun)) s: $name: $(tail -n 1 "$results/$name.log")" >> "$results/summary"
}

soak() {
  TAO_SOURCE_DIR=$PWD TAO_BINARY_DIR=$PWD/build/release PYTHONDONTWRITEBYTECODE=1 \
    /usr/bin/python3 tests/e2e/soak.py "$@" --seed "$seed"
}

cmake --preset release > /dev/null &&
  cmake --build --preset release -j2 --target tao-inference-server tao-inference tao-process-parent \
    reference-backend || exit 1
for platform in "${platforms[@]}"; do
  [ "$rounds" -eq 0 ] || part "crash-$platform" soak crash --platform "$platform" --rounds "$rounds"
done
[ "$load_minutes" -eq 0 ] || part load soak load --seconds $((load_minutes * 60))
[ "$mixed_minutes" -eq 0 ] || part mixed soak mixed --seconds $((mixed_minutes * 60))
[ "$fuzz_minutes" -eq 0 ] || part fuzz scripts/fuzz.sh $((fuzz_minutes * 60)) "$seed"

echo "=== seed $seed, $SECONDS s"
cat "$results/summary"
exit $status
