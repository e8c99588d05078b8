# shellcheck shell=bash
# A Docker daemon of its own, from Debian's packages unpacked into a folder: nothing is installed, and no daemon, image,
# network or firewall rule that is there already is touched. Sourced by tests/containers.sh, which has WORK, DATA and CACHE.
# shellcheck disable=SC2153

# iptables is for Docker's name server, which wants rules within each container's own network.
DEBIAN_PACKAGES=(docker.io containerd runc tini debootstrap iptables libxtables12 libip4tc2 libip6tc2)

# Debian's packages, unpacked into the cache.
fetch_docker() {
  local kept=$CACHE/debian-docker work deb arch
  arch=$(uname -m)-linux-gnu
  if [[ ! -x $kept/usr/sbin/dockerd ]]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then cannot 'this is no Debian: no apt-get'; fi
    say "fetching Debian's ${DEBIAN_PACKAGES[*]} into $CACHE"
    mkdir -p "$CACHE"
    work=$(mktemp -d "$CACHE/docker-fetch.XXXXXX")
    if ! (cd "$work" && { apt-get -q download "${DEBIAN_PACKAGES[@]}" ||
      { apt-get -q update && apt-get -q download "${DEBIAN_PACKAGES[@]}"; }; }) >"$work/log" 2>&1; then
      tail -n 3 "$work/log" | sed 's/^/    /' >&2
      rm -rf "$work"
      cannot "apt-get could not download ${DEBIAN_PACKAGES[*]}"
    fi
    for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$work/tree"; done
    cat >"$work/tree/usr/sbin/iptables" <<END
#!/bin/sh
LD_LIBRARY_PATH=$kept/usr/lib/$arch XTABLES_LIBDIR=$kept/usr/lib/$arch/xtables \\
  exec $kept/usr/sbin/iptables-legacy "\$@"
END
    chmod +x "$work/tree/usr/sbin/iptables"
    rm -rf "$kept"
    mv -T "$work/tree" "$kept"
    rm -rf "$work"
  fi
  PATH=$kept/usr/sbin:$kept/usr/bin:$PATH
  DOCKER=$kept/usr/bin/docker
}

start_daemon() {
  local i
  mkdir -p "$DATA" "$WORK/exec"
  # Neither the system's settings nor its firewall, default bridge or forwarding.
  echo '{}' >"$WORK/daemon.json"
  export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/client
  setsid dockerd --config-file "$WORK/daemon.json" --data-root "$DATA" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
    -H "$DOCKER_HOST" --iptables=false --ip6tables=false --ip-forward=false --bridge=none </dev/null >"$WORK/dockerd.log" 2>&1 &
  DAEMON=$!
  for ((i = 0; i < 300; i++)); do
    if "$DOCKER" info >/dev/null 2>&1; then return 0; fi
    kill -0 "$DAEMON" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 3 "$WORK/dockerd.log" | sed 's/^/    /' >&2
  cannot 'no Docker daemon starts here'
}

# Ends the daemon and what it runs, and removes its data unless they are to be kept.
stop_daemon() {
  local i
  [[ -n ${DAEMON:-} ]] || return 0
  "$DOCKER" ps -q | xargs -r "$DOCKER" rm -f -v >/dev/null 2>&1 || true
  kill -TERM "$DAEMON" 2>/dev/null || true
  for ((i = 0; i < 300; i++)); do
    kill -0 "$DAEMON" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$DAEMON" 2>/dev/null || true
  wait "$DAEMON" 2>/dev/null || true
  DAEMON=
}
