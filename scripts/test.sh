#!/bin/bash
# Installs what is missing, builds, runs every test, and ends with the counts:
#   scripts/test.sh                   release with all tests, two minutes of mixed load, ASan+UBSan, TSan, thread
#                                     annotations, a minute of each fuzzer
#   scripts/test.sh --release-only    release with all tests
# The last line is "N passed, N failed, N skipped". Not 0 when anything failed, or when a test was skipped
# for a reason that tests/allowed_skips does not name. Results stay in build/test-results.
set -uo pipefail
cd "$(dirname "$0")/.."

release_only=false
for argument in "$@"; do
  case "$argument" in
    --release-only) release_only=true ;;
    *)
      echo "test.sh: unknown argument $argument; usage: scripts/test.sh [--release-only]" >&2
      exit 2
      ;;
  esac
done

results=$PWD/build/test-results
rm -rf "$results"
mkdir -p "$results"
started=$SECONDS

# section NAME COMMAND...: runs it, says how long it took, and notes the outcome of NAME for the summary.
section() {
  local name=$1 begun=$SECONDS outcome=passed
  shift
  echo "=== $name"
  "$@" || outcome=failed
  echo "$name $outcome $((SECONDS - begun))" >> "$results/sections"
  echo "=== $name: $outcome after $((SECONDS - begun)) s"
  [ "$outcome" = passed ]
}

build() {
  cmake --preset "$1" && cmake --build --preset "$1" -j2
}

# tests PRESET CTEST_ARGUMENT...: its failures are counted from the junit file, test by test.
tests() {
  local preset=$1
  shift
  # GCC 12's sanitizers cannot map their shadow under the wide address randomisation of newer kernels.
  local plain_addresses=()
  if [ "$preset" != release ] && setarch --addr-no-randomize true 2>/dev/null; then
    plain_addresses=(setarch --addr-no-randomize)
  fi
  # Everything a test prints, for the reasons of failures and skips are read there. One more at a time than cores:
  # end-to-end tests mostly wait.
  PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} -rsfE" "${plain_addresses[@]}" \
    ctest --preset "$preset" -j3 --no-tests=error --output-junit "$results/$preset.xml" \
    --test-output-size-passed 1048576 --test-output-size-failed 1048576 "$@"
}

export CTEST_OUTPUT_ON_FAILURE=1
if section dependencies scripts/deps.sh && section release-build build release; then
  section release-tests tests release
  if ! $release_only; then
    section mixed-load scripts/soak.sh 0 --load-minutes 0 --mixed-minutes 2 --fuzz-minutes 0
    section thread-annotations scripts/check_thread_annotations.py build/release
    section asan-build build asan && section asan-tests tests asan -L 'unit|component'
    section tsan-build build tsan && section tsan-tests tests tsan -L 'unit|component'
    section fuzz scripts/fuzz.sh 60
  fi
fi

echo "=== all: $((SECONDS - started)) s"
exec scripts/summarize_tests.py "$results" tests/allowed_skips
