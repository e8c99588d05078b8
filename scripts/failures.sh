#!/usr/bin/env bash
# Tells once more why tests failed, without backtraces: the first lines of each, to stand where a long log ends.
#
#   scripts/failures.sh LOG     LOG is what cargo test has printed
set -euo pipefail

case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
if (($# != 1)) || [[ ! -r $1 ]]; then
  printf 'failures.sh: error: the log of a test run has to be named: scripts/failures.sh LOG\n' >&2
  exit 64
fi

# "---- name stdout ----" begins what a failed test has said; "failures:" or the next one ends it.
sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1" | awk -v tests=3 -v most=14 -v width=220 '
  /^---- .* stdout ----$/ {
    in_test = 1
    if (++seen > tests) { more++; in_test = 0; next }
    print "why " $2 " failed:"; lines = 0
    next
  }
  /^failures:$/ { in_test = 0 }
  !in_test || /^$/ { next }
  /^stack backtrace:$/ || /^ +[0-9]+: / || /^ +at / || /^note: / { next }
  ++lines <= most { print "    " substr($0, 1, width) }
  lines == most + 1 { print "    […]" }
  END { if (more) print "and " more " more" }'
