#!/usr/bin/env bash
# Builds programs, optimised, and prints the folder that they are in, wherever cargo has been told to put it.
#
#   scripts/built.sh [ARGUMENTS FOR CARGO BUILD…]     default: -p hitstream
#
# HITSTREAM_BUILT may name a folder that holds them already: nothing is built then, and it is the answer.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
if (($# == 0)); then set -- -p hitstream; fi
if [[ -n ${HITSTREAM_BUILT:-} ]]; then
  # Each package here has one program of its own name.
  before=
  for word; do
    case $before in -p | --package)
      if [[ ! -x $HITSTREAM_BUILT/$word ]]; then
        printf 'built.sh: error: HITSTREAM_BUILT is %s, where there is no program %s; build it there, or leave HITSTREAM_BUILT out\n' \
          "$HITSTREAM_BUILT" "$word" >&2
        exit 1
      fi
      ;;
    esac
    before=$word
  done
  printf '%s\n' "$HITSTREAM_BUILT"
  exit 0
fi
# CARGO_TARGET_DIR, build.target-dir and build.target all move it: cargo's own word is the only one to go by.
folder=$(cargo build --release --message-format=json-render-diagnostics "$@" |
  sed -n 's|.*"executable":"\([^"]*\)/[^"/]*".*|\1|p' | tail -n 1)
if [[ -z $folder ]]; then
  printf 'built.sh: error: cargo has built no program of: %s\n' "$*" >&2
  exit 1
fi
printf '%s\n' "$folder"
