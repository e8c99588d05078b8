#!/usr/bin/env bash
# Runs every test of the workspace against real services and closes with one line: N passed, N failed[, N skipped].
#
#   scripts/test.sh [ARGUMENTS FOR CARGO TEST…]     default: --workspace
#
# Services that it had to start are stopped at the end; those that were there already stay. Exits 1 when a test failed
# or a test binary ended before it had told its result.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
if (($# == 0)); then set -- --workspace; fi
# Each whole-pipeline test runs several processes beside one broker: more at a time starve each other.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-3}

log=$(mktemp)
tests=''
stop_services=false

# shellcheck disable=SC2317  # called by the trap
clean_up() {
  trap '' INT TERM HUP
  if [[ -n $tests ]]; then kill -TERM -- "-$tests" 2>/dev/null || true; fi
  # Silently: whoever read our output may be gone, and writing to nobody would end the stop half way.
  if $stop_services; then scripts/services.sh stop >/dev/null 2>&1 || true; fi
  rm -f "$log"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

scripts/setup.sh
state=0
scripts/services.sh status || state=$?
# 3: nothing was started here before, so nobody else counts on it.
if ((state == 3)); then stop_services=true; fi
if ((state != 0)); then scripts/services.sh start; fi
# shellcheck source=/dev/null
. "${HITSTREAM_SERVICES_DIR:-$ROOT/.services}.env"

# A process group of its own: a trap can end cargo and all that it started, and is not kept waiting by it.
result=0
set -m
(cargo test --no-fail-fast "$@" 2>&1 | tee "$log") </dev/null &
tests=$!
set +m
wait "$tests" || result=$?
tests=''

if $stop_services; then
  stop_services=false
  scripts/services.sh stop
fi

# Each test binary announces itself ("Running …", "Doc-tests …") and ends with a result; one that was killed, aborted
# or ran into a time limit has no result, which must never pass for success.
sum=$(sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$log" | awk '
  function close_binary() {
    if (binary != "") { failed++; print "test.sh: did not finish: " binary > "/dev/stderr" }
    binary = ""
  }
  /^ +(Running|Doc-tests) / { close_binary(); $1 = $1; binary = $0 }
  /^test result: (ok|FAILED)\. / { passed += $4; failed += $6; skipped += $8; binary = "" }
  END { close_binary(); print passed + 0, failed + 0, skipped + 0 }')
read -r passed failed skipped <<<"$sum"
if ((result != 0 && failed == 0)); then
  printf 'test.sh: cargo test failed with exit code %d before or beside the tests; see its output above\n' "$result" >&2
  failed=1
fi
if ((passed + failed == 0)); then
  printf 'test.sh: no test ran\n' >&2
  failed=1
fi
if ((failed > 0)); then scripts/failures.sh "$log" || true; fi
line="$passed passed, $failed failed"
if ((skipped > 0)); then line+=", $skipped skipped"; fi
printf '%s\n' "$line"
((failed == 0))
