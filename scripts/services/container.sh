# shellcheck shell=bash
# Servers as containers. Part of scripts/services.sh.

docker_answers() { command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1; }

# start_container NAME IMAGE HOSTPORT:PORT DOCKER-RUN-ARGUMENTS…
start_container() {
  local name=$1 image=$2 ports=$3 cid
  shift 3
  cid=$(recall "$name.cid")
  if [[ -n $cid ]]; then
    if [[ $(recall "$name.ports") == "$ports" ]] && docker start "$cid" >/dev/null 2>&1; then
      say "$name: taking up container ${cid:0:12} again"
      return 0
    fi
    say "$name: container ${cid:0:12} cannot be taken up again on 127.0.0.1:${ports%%:*}, removing it and its data"
    docker rm -f -v "$cid" >/dev/null 2>&1 || true
    rm -f "$STATE/$name.cid"
  fi
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    say "$name: pulling $image"
    docker pull -q "$image" >/dev/null ||
      die "docker could not pull $image; for local processes instead: '$0 stop', then HITSTREAM_SERVICES=local"
  fi
  say "$name: starting a container of $image on 127.0.0.1:${ports%%:*}"
  cid=$(docker run -d --label "hitstream.services=$STATE" -p "127.0.0.1:$ports" "$@") ||
    die "docker could not start $image"
  remember "$name.cid" "$cid"
  remember "$name.ports" "$ports"
}
