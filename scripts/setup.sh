#!/usr/bin/env bash
# Sees to the tools that building and testing need: installs what is missing where it may (root or password-less sudo,
# on Debian or Ubuntu), otherwise says what is missing and how to get it, and exits 1.
#
#   scripts/setup.sh           everything that 'make test' needs
#   scripts/setup.sh NEED…     only these: rust compiler make pkg-config perl openssl java maven postgresql shellcheck pip venv
#
# It changes nothing that is there already, and starts nothing.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RUST=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")

# The oldest PostgreSQL with what hitstream needs.
POSTGRESQL=15

say() { printf 'setup: %s\n' "$*"; }
complain() { printf 'setup: error: %s\n' "$*" >&2; }

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

# --- what is here ----------------------------------------------------------------------------------------------------

has() {
  case $1 in
  rust) has_rust ;;
  compiler) command -v cc >/dev/null && command -v c++ >/dev/null ;;
  java) "$ROOT/scripts/find-java.sh" >/dev/null ;;
  maven) command -v mvn >/dev/null ;;
  postgresql) has_postgresql ;;
  # Its headers, as the build finds them.
  openssl) pkg-config --exists openssl 2>/dev/null ;;
  pip) python3 -m pip --version >/dev/null 2>&1 ;;
  venv) python3 -c 'import ensurepip, venv' >/dev/null 2>&1 ;;
  make | pkg-config | perl | shellcheck) command -v "$1" >/dev/null ;;
  *)
    complain "'$1' is nothing this script knows"
    usage >&2
    exit 64
    ;;
  esac
}

# A server that is recent enough, where the demo and the services look for one.
has_postgresql() {
  local initdb version
  for initdb in ${HITSTREAM_PG_BIN:+"$HITSTREAM_PG_BIN/initdb"} /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
    [[ -x $initdb ]] || continue
    version=$("$initdb" --version 2>/dev/null | sed -n 's/^[^0-9]*\([0-9]\{1,\}\).*/\1/p')
    if ((${version:-0} >= POSTGRESQL)); then return 0; fi
  done
  return 1
}

has_rust() {
  command -v cargo >/dev/null || return 1
  # Without rustup, whatever cargo there is has to do; Cargo.toml's rust-version judges it.
  command -v rustup >/dev/null || return 0
  local name
  if rustup toolchain list | grep -q "^$RUST-"; then return 0; fi
  # The pinned release may be here under another name ("stable"): a link saves fetching it a second time.
  while read -r name _; do
    if [[ $(rustc "+$name" --version 2>/dev/null) == "rustc $RUST "* ]]; then
      say "linking the installed toolchain $name as $RUST"
      rustup toolchain link "$RUST-${name#*-}" "$(rustc "+$name" --print sysroot)"
      return 0
    fi
  done < <(rustup toolchain list)
  return 1
}

# --- how to get it ---------------------------------------------------------------------------------------------------

# The Debian packages for a need.
packages() {
  local version
  case $1 in
  compiler) echo build-essential ;;
  java)
    for version in 17 21 25; do
      if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
        echo "openjdk-$version-jre-headless"
        return 0
      fi
    done
    echo default-jre-headless
    ;;
  openssl) echo libssl-dev ;;
  pip) echo python3-pip ;;
  venv) echo python3-venv ;;
  *) echo "$1" ;;
  esac
}

install_rust() {
  if command -v rustup >/dev/null; then
    say "installing Rust $RUST with rustup"
    rustup toolchain install "$RUST" --profile minimal --component rustfmt --component clippy </dev/null && return 0
    complain "rustup could not install Rust $RUST"
  else
    complain "Rust is missing: install rustup as https://www.rust-lang.org/tools/install says, then run this again"
  fi
  return 1
}

as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

install_packages() {
  local needs=("$@") need list=() hush=/etc/postgresql-common/createcluster.d/hitstream-setup.conf
  if ! command -v apt-get >/dev/null; then
    complain "missing: ${needs[*]}; install them with this system's package manager"
    complain "(wanted: a C and C++ compiler, make, pkg-config, perl, OpenSSL's headers, Java 17+, Maven, PostgreSQL 15+ server)"
    return 1
  fi
  if ! as_root true 2>/dev/null; then
    for need in "${needs[@]}"; do list+=("$(packages "$need")"); done
    complain "missing: ${needs[*]}; get them with: sudo apt-get install ${list[*]}"
    return 1
  fi
  say "reading the package lists"
  apt -q update || say "apt-get update failed; going on with the lists there are"
  for need in "${needs[@]}"; do list+=("$(packages "$need")"); done
  say "installing ${list[*]}"
  # Debian's PostgreSQL makes a cluster at once and starts it on 5432; nobody asked for one.
  if [[ " ${needs[*]} " == *' postgresql '* ]]; then
    apt -q install postgresql-common || return 1
    as_root mkdir -p "${hush%/*}"
    as_root tee "$hush" >/dev/null <<<'create_main_cluster = false'
  fi
  local result=0
  apt -q install "${list[@]}" || result=$?
  if [[ -e $hush ]]; then as_root rm -f "$hush"; fi
  if ((result != 0)); then complain "apt-get could not install ${list[*]}"; fi
  return "$result"
}

# Quiet while all goes well, all of its output otherwise.
apt() {
  local log
  log=$(mktemp)
  # An update running in the background holds the lock for a while: wait for it.
  if as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" \
    </dev/null >"$log" 2>&1; then
    rm -f "$log"
    return 0
  fi
  sed 's/^/    /' "$log" >&2
  rm -f "$log"
  return 1
}

main() {
  case ${1:-} in -h | --help | help)
    usage
    return 0
    ;;
  esac
  local need missing=() failed=0
  if (($# == 0)); then
    set -- rust compiler make pkg-config perl openssl
    # Containers bring their own.
    if ! { command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; } ||
      [[ ${HITSTREAM_SERVICES:-} == local ]]; then
      set -- "$@" java maven postgresql
    fi
  fi
  for need in "$@"; do
    if ! has "$need"; then missing+=("$need"); fi
  done
  for need in "${missing[@]}"; do
    if [[ $need == rust ]]; then install_rust || failed=1; fi
  done
  read -ra missing <<<"$(printf '%s\n' "${missing[@]}" | grep -vx rust | tr '\n' ' ' || true)"
  if ((${#missing[@]} > 0)); then
    install_packages "${missing[@]}" || failed=1
    if ((failed == 0)); then
      for need in "${missing[@]}"; do
        if ! has "$need"; then
          complain "$need is still missing, or too old, after its package was installed"
          if [[ $need == postgresql ]]; then complain "wanted: a PostgreSQL server from $POSTGRESQL on; HITSTREAM_PG_BIN may name its programs' folder"; fi
          failed=1
        fi
      done
    fi
  fi
  return "$failed"
}

main "$@"
