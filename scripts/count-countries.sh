#!/usr/bin/env bash
# Counts the hits of an access log by window, host and country with MaxMind's own reader for Python, for hitstream to be
# judged by: scripts/count-countries.py tells how, and takes the same arguments.
#
#   scripts/count-countries.sh LOG DATABASE HOST [SECONDS]
#
# The reader is the one that python3 has, or one from PyPI, kept in the user's cache and nowhere else. Exits 69 where it
# cannot be had.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

READER=maxminddb==3.2.0
HOME=${HOME:-~}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hitstream
kept=$CACHE/${READER/==/-}

unavailable() {
  printf 'count-countries: error: %s\n' "$*" >&2
  exit 69
}

export PYTHONPATH=$kept${PYTHONPATH:+:$PYTHONPATH}
if ! python3 -c 'import maxminddb' 2>/dev/null; then
  "$ROOT/scripts/setup.sh" pip >&2 || unavailable 'python3 with pip is missing, which fetches what reads databases'
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/maxminddb-fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target "$work/reader" "$READER" \
    </dev/null >&2 || unavailable "pip could not get $READER; is there a network?"
  rm -rf "$kept"
  mv -T "$work/reader" "$kept"
fi
python3 "$ROOT/scripts/count-countries.py" "$@"
