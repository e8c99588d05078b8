#!/usr/bin/env bash
# Tells once more why tests failed, without backtraces: the first and the last lines of each, to stand where a long log ends.
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

# "---- name stdout ----" begins what a failed test has said; "failures:" or the next one ends it. What it said before it
# panicked is left out, and the middle of what is long but for what was compared. Bytes, for not every awk knows more.
sed 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1" | LC_ALL=C awk -v tests=3 -v first=6 -v last=8 -v width=220 '
  function tell(   i, line) {
    for (i = 1; i <= n; i++) {
      if (i == first + 1 && n > first + last) print "    […]"
      line = said[i]
      if (i > first && i <= n - last && line !~ /^ +(left|right): /) continue
      if (length(line) > width) { line = substr(line, 1, width); sub(/[\200-\377]+$/, "", line) }
      print "    " line
    }
    n = 0
  }
  /^---- .* stdout ----$/ {
    tell()
    in_test = ++seen <= tests
    if (in_test) { sub(/^---- /, ""); sub(/ stdout ----$/, ""); print "why " $0 " failed:" }
    next
  }
  /^failures:$/ { tell(); in_test = 0 }
  !in_test || /^$/ { next }
  /^stack backtrace:$/ || /^ +[0-9]+: / || /^ +at / || /^note: / { next }
  /^thread .* panicked at / { n = 0 }
  { said[++n] = $0 }
  END { tell(); if (seen > tests) print "and " (seen - tests) " more" }'
