#!/usr/bin/env bash
# Proves that the crate hitstream-domain stands on nothing that runs, connects or reads a clock: its results have to be
# a function of its input alone. Prints the offending crates and who brings them, and exits 1.
set -euo pipefail
case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

crate=hitstream-domain
# Whole families, by prefix: runtimes, Kafka, PostgreSQL, HTTP, sockets, clocks.
forbidden='actix|rdkafka|tokio|async-std|async-io|async-executor|smol|futures-executor|mio|polling|socket2'
forbidden+='|postgres|bb8|deadpool|r2d2|sqlx|diesel|refinery|hyper|reqwest|axum|ureq'
forbidden+='|quanta|coarsetime|minstant|instant|web-time|iana-time-zone'

tree=$(cargo tree --package "$crate" --edges normal,build --target all --all-features --prefix none \
  --format '{p} [{f}]')
# chrono is welcome for its calendar; with "clock" or "now" it asks the system.
offending=$(awk -v forbidden="^(${forbidden})([-_].*)?\$" '
  $1 ~ forbidden { print $1; next }
  $1 == "chrono" && /\[(.*,)?(clock|now)(,.*)?\]/ { print $1 }' <<<"$tree" | sort -u)

if [[ -n $offending ]]; then
  printf 'check-domain-pure: %s must not depend on:\n' "$crate" >&2
  for name in $offending; do
    cargo tree --package "$crate" --edges normal,build --target all --all-features --invert "$name" \
      --format '{p} [{f}]' | sed 's/^/    /' >&2
  done
  printf 'check-domain-pure: move what needs it to actors/, or switch the feature off that brings it\n' >&2
  exit 1
fi
printf 'check-domain-pure: %s and the %d crates beneath it are pure\n' \
  "$crate" "$(($(awk 'NF {print $1}' <<<"$tree" | sort -u | wc -l) - 1))"
