#!/usr/bin/env bash
# Measures hitstream end to end on a Kafka and a PostgreSQL of its own, and ends them.
#
#   scripts/bench.sh [--quick] [--json] [--records N] [--rounds N]     see docs/BENCHMARKS.md
#
# scripts/bench-spark.sh goes on here, with --spark.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
scripts/setup.sh rust compiler make pkg-config perl openssl java maven postgresql
built=$(scripts/built.sh -p hitstream -p hitstream-bench)

work=$(mktemp -d)
export HITSTREAM_SERVICES_DIR=$work/services
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  scripts/services.sh stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
scripts/services.sh start >&2
# shellcheck source=/dev/null
. "$HITSTREAM_SERVICES_DIR.env"
"$built/hitstream-bench" "$@"
