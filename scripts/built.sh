#!/usr/bin/env bash
# Builds programs, optimised, and prints the folder that they are in, wherever cargo has been told to put it.
#
#   scripts/built.sh [ARGUMENTS FOR CARGO BUILD…]     default: -p hitstream
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
if (($# == 0)); then set -- -p hitstream; fi
# CARGO_TARGET_DIR, build.target-dir and build.target all move it: cargo's own word is the only one to go by.
folder=$(cargo build --release --message-format=json-render-diagnostics "$@" |
  sed -n 's|.*"executable":"\([^"]*\)/[^"/]*".*|\1|p' | tail -n 1)
if [[ -z $folder ]]; then
  printf 'built.sh: error: cargo has built no program of: %s\n' "$*" >&2
  exit 1
fi
printf '%s\n' "$folder"
