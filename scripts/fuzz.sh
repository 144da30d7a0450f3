#!/bin/bash
# Builds the fuzzers with clang and runs each for SECONDS:
#   scripts/fuzz.sh [SECONDS] [SEED]
# 60 seconds unless told otherwise; the seed of a run is printed, and repeats it. What a fuzzer finds stays in
# build/fuzz-results, with the input that shows it: build/fuzz/bin/NAME FILE runs that one again. The last line says
# how many inputs were tried; not 0 when there is a finding.
set -uo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
seed=${2:-$((RANDOM * 32768 + RANDOM + 1))}
case "$seconds$seed" in
  *[!0-9]*) echo "fuzz.sh: usage: scripts/fuzz.sh [SECONDS] [SEED]" >&2; exit 2 ;;
esac

cmake --preset fuzz > /dev/null && cmake --build --preset fuzz -j2 || exit 1

results=$PWD/build/fuzz-results
rm -rf "$results"
summary="seed $seed"
status=0
for program in build/fuzz/bin/fuzz_*; do
  name=$(basename "$program")
  mkdir -p "$results/$name"
  echo "=== $name: $seconds s, seed $seed"
  outcome="no finding"
  "$program" -max_total_time="$seconds" -seed="$seed" -print_final_stats=1 -timeout=25 -rss_limit_mb=4096 \
    -dict=tests/fuzz/json.dict -artifact_prefix="$results/$name-" \
    "$results/$name" "tests/fuzz/corpus/${name#fuzz_}" > "$results/$name.log" 2>&1 || outcome=FINDING
  if [ "$outcome" = FINDING ]; then
    status=1
    tail -n 60 "$results/$name.log"
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$results/$name.log")
  summary+="; $name: ${runs:-?} runs, $outcome"
done
echo "fuzz.sh: $summary"
exit $status
