# shellcheck shell=bash
# What checks rules and dashboards: Prometheus' own tools and some Python packages. What is missing is fetched into the
# user's cache; nothing is installed and no service started. Sourced by scripts/monitoring.sh.

CACHE=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/hitstream
# Debian's names of the packages, and the programs in them.
declare -A PACKAGE_OF=([promtool]=prometheus [prometheus]=prometheus [amtool]=prometheus-alertmanager
  [prometheus-alertmanager]=prometheus-alertmanager)
PYTHON_PACKAGES=('promql-parser==0.12.0' 'grafana-foundation-sdk==1769699379!11.6.0' 'PyYAML==6.0.4')

# shellcheck source=scripts/packages.sh
. "$ROOT/scripts/packages.sh"

say() { printf 'monitoring: %s\n' "$*"; }
die() {
  printf 'monitoring: error: %s\n' "$*" >&2
  exit 1
}
# For what cannot be had here.
unavailable() {
  printf 'monitoring: error: %s\n' "$*" >&2
  exit 69
}

# tool NAME: the path of a program, which is fetched if it is nowhere.
tool() {
  local name=$1 package=${PACKAGE_OF[$1]} kept=$CACHE/debian-${PACKAGE_OF[$1]}/usr/bin
  if command -v "$name"; then return 0; fi
  if [[ ! -x $kept/$name ]]; then fetch_debian "$package" >&2; fi
  printf '%s\n' "$kept/$name"
}

# run_alertmanager ARGUMENTS…: becomes the Alertmanager. Debian's looks for its templates beneath /usr/share alone; where it
# was only unpacked it is shown them there, and nobody else is.
run_alertmanager() {
  local program share own=(unshare --mount)
  program=$(tool prometheus-alertmanager)
  share=${program%/bin/*}/share
  if [[ $program != "$CACHE"/* ]]; then exec "$program" "$@"; fi
  if ((EUID != 0)); then own+=(--map-root-user); fi
  # shellcheck disable=SC2016  # for the shell that is started
  own+=(sh -ec 'mount -t overlay -o lowerdir="$0:/usr/share" overlay /usr/share; exec "$@"' "$share")
  "${own[@]}" true || unavailable 'this system does not let the Alertmanager have its templates: put a whole one on PATH'
  exec "${own[@]}" "$program" "$@"
}

# Unpacked rather than installed: installing would start a service.
fetch_debian() {
  local package=$1 work
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    unavailable "$package is missing: put its programs on PATH, from https://prometheus.io/download or a package of this system"
  fi
  say "fetching Debian's package $package into $CACHE"
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/debian-fetch.XXXXXX")
  if ! (cd "$work" && apt-get -q download "$package" >log 2>&1); then
    # The lists may be missing or old.
    if ((EUID == 0)); then apt-get -q update >/dev/null 2>&1 || true; else sudo -n apt-get -q update >/dev/null 2>&1 || true; fi
    if ! (cd "$work" && apt-get -q download "$package" >log 2>&1); then
      sed 's/^/    /' "$work/log" >&2
      rm -rf "$work"
      unavailable "apt-get could not download $package; is there a network? Or put its programs on PATH"
    fi
  fi
  dpkg-deb -x "$work"/*.deb "$work/tree"
  rm -rf "$CACHE/debian-$package"
  mv -T "$work/tree" "$CACHE/debian-$package"
  rm -rf "$work"
}

# run_python FILE ARGUMENTS…: runs one of scripts/monitoring/*.py with its packages.
run_python() {
  local kept
  kept=$CACHE/monitoring-python-$(printf '%s\n' "${PYTHON_PACKAGES[@]}" "$(python3 --version)" | cksum | tr ' ' -)
  if [[ ! -d $kept ]]; then
    say "fetching ${PYTHON_PACKAGES[*]} into $CACHE"
    fetch_packages "$kept" "${PYTHON_PACKAGES[@]}" || unavailable "pip could not get ${PYTHON_PACKAGES[*]}; is there a network?"
  fi
  PYTHONPATH=$kept PYTHONDONTWRITEBYTECODE=1 python3 "$@"
}
