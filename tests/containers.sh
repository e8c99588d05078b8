#!/usr/bin/env bash
# Builds the image, brings docker-compose.yml up as a person would, and tries it: traffic, rows, what watches it, kills, three
# instances, an orderly end, an upgrade. Closes with one line: N passed, N failed.
#
#   tests/containers.sh              with a Docker daemon of its own, and stand-ins for images that cannot be pulled here
#   tests/containers.sh --official   the same with the images that the files name, pulled by that daemon
#
# It needs root, a Debian machine, rustup's toolchain and the package registries; the daemon, its images, networks and volumes
# are in a folder of its own and go at the end. HITSTREAM_CONTAINERS=FOLDER keeps the images there for the next time.
# Exits 0 when all passed, 1 when something failed, 77 where no daemon can run here (with CI=true that is a failure).
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HERE=$ROOT/tests/containers
KAFKA_POM=$ROOT/scripts/kafka/pom.xml
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$KAFKA_POM")
REVISION=${REVISION:-$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)}
# Of a compose project: what it makes carries this name.
PROJECT=hitstream-test

say() { printf 'containers: %s\n' "$*"; }
die() {
  printf 'containers: error: %s\n' "$*" >&2
  exit 1
}
# For what this machine does not have.
cannot() {
  printf 'containers: %s; containers are not tried\n' "$*" >&2
  if [[ ${CI:-} == true ]]; then exit 1; fi
  exit 77
}

# shellcheck source=scripts/deployment/tools.sh
. "$ROOT/scripts/deployment/tools.sh"
# shellcheck source=scripts/services/kafka.sh
. "$ROOT/scripts/services/kafka.sh"
# shellcheck source=scripts/services/ports.sh
. "$ROOT/scripts/services/ports.sh"
# shellcheck source=tests/containers/daemon.sh
. "$HERE/daemon.sh"
# shellcheck source=tests/containers/images.sh
. "$HERE/images.sh"
# shellcheck source=tests/containers/asking.sh
. "$HERE/asking.sh"
# shellcheck source=tests/containers/cases.sh
. "$HERE/cases.sh"

# Nothing is remembered from another time.
recall() { :; }

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

# shellcheck disable=SC2317  # called by the trap
clean_up() {
  trap '' INT TERM HUP
  if [[ -n ${DAEMON:-} ]]; then
    compose down --volumes --timeout 5 >/dev/null 2>&1 || true
    stop_daemon
  fi
  rm -rf "$WORK"
}

# What Compose is given: free ports, so that it disturbs nothing and nobody, and short windows, so that some close.
write_env() {
  local name port ports=()
  for name in HOST_PORT KAFKA_PORT PGADMIN_PORT GRAFANA_PORT PROMETHEUS_PORT ALERTMANAGER_PORT; do
    while port=$(free_port) && [[ " ${ports[*]} " == *" $port "* ]]; do :; done
    ports+=("$port")
    printf '%s=%s\n' "$name" "$port"
    declare -g "$name=$port"
  done
  port=$((33000 + RANDOM % 5000))
  cat <<END
HTTP_PORTS=$port-$((port + 9))
CONTAINER_PORT=5434
PGADMIN_EMAIL=somebody@example.com
PGADMIN_PASSWORD='of p\$gadmin'
GRAFANA_PASSWORD='of # gr\$afana'
POSTGRES_USER=youruser
POSTGRES_PASSWORD='pa\$s & word'
POSTGRES_DB=web_traffic
POSTGRES_URL=jdbc:postgresql://postgres:5434/web_traffic
KAFKA_URL=kafka:9093
KAFKA_TOPIC=visits
KAFKA_GROUP=visitors
IP_CODING_KEY=
REVISION=$REVISION
DEMO_RATE=300
HITSTREAM_WINDOW__SIZE=10s
HITSTREAM_WINDOW__SLIDE=10s
HITSTREAM_WATERMARK__DELAY=25s
HITSTREAM_WATERMARK__IDLE_TIMEOUT=5s
END
}

main() {
  local official=false compose_tool
  case ${1:-} in
  '') ;;
  --official) official=true ;;
  -h | --help)
    usage
    return 0
    ;;
  *)
    usage >&2
    exit 64
    ;;
  esac
  ((EUID == 0)) || cannot 'a Docker daemon needs root'
  WORK=$(mktemp -d /tmp/hitstream-containers.XXXXXX)
  DATA=${HITSTREAM_CONTAINERS:-$WORK/data}
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  compose_tool=$(tool docker-compose)
  COMPOSE=$compose_tool
  fetch_docker
  start_daemon
  write_env >"$WORK/stream.env"
  if $official; then
    compose pull -q --ignore-buildable
  else
    make_stand_ins
  fi
  make_hitstream
  try_everything
  if ! $official; then
    say 'not proven here: how the official images of Kafka, PostgreSQL 17, Prometheus 3, Alertmanager and pgAdmin behave beyond'
    say 'what their stand-ins (Debian, Maven, PyPI) share with them, and anything of Grafana but its provisioning'
  fi
  printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
  ((FAILED == 0))
}

main "$@"
