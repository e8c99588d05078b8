#!/usr/bin/env bash
# A real Apache Kafka (one node, KRaft) and a real PostgreSQL for tests and local work.
#
#   scripts/services.sh start  [kafka|postgres]   start what is not running, write .services.env
#   scripts/services.sh status [kafka|postgres]   exit 0 when all answers, 3 when nothing was started, else 1
#   scripts/services.sh stop   [kafka|postgres]   end what start started, remove its data
#
# Settings, all optional, from the environment:
#   HITSTREAM_SERVICES        docker | local (default: docker where a daemon answers, else local processes)
#   HITSTREAM_KAFKA_PORT      port on 127.0.0.1 (default: a free one)
#   HITSTREAM_POSTGRES_PORT   port on 127.0.0.1 (default: a free one)
#   HITSTREAM_SERVICES_DIR    where pids, data and logs live (default: .services in this repository); the variables
#                             go to a file of the same name with .env behind it. Another directory is another,
#                             independent pair of services.
#
# Data outlives a crash: start after kill -9 brings the same data back on the same port. Only stop removes it.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${HITSTREAM_SERVICES_DIR:-$ROOT/.services}
[[ $STATE == /* ]] || STATE=$PWD/$STATE # servers run in / and still have to find it
ENV_FILE=$STATE.env
HOME=${HOME:-~} # unset in some CI systems; the tilde then comes from the password database
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hitstream
KAFKA_POM=$ROOT/scripts/kafka/pom.xml
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$KAFKA_POM")
KAFKA_IMAGE=apache/kafka:$KAFKA_VERSION
POSTGRES_IMAGE=postgres:17
POSTGRES_OLDEST=15
START_DEADLINE=60 # seconds; a container that is pulled first has its own, in docker pull
STOP_DEADLINE=20

say() { printf 'services: %s\n' "$*"; }
die() {
  printf 'services: error: %s\n' "$*" >&2
  exit 1
}

# State: one small file per fact, so that a half-written one harms nothing else.
recall() { cat "$STATE/$1" 2>/dev/null || true; }
remember() { printf '%s\n' "$2" >"$STATE/$1.new" && mv "$STATE/$1.new" "$STATE/$1"; }

# shellcheck source=scripts/services/ports.sh
. "$ROOT/scripts/services/ports.sh"
# shellcheck source=scripts/services/process.sh
. "$ROOT/scripts/services/process.sh"
# shellcheck source=scripts/services/container.sh
. "$ROOT/scripts/services/container.sh"
# shellcheck source=scripts/services/kafka.sh
. "$ROOT/scripts/services/kafka.sh"
# shellcheck source=scripts/services/postgres.sh
. "$ROOT/scripts/services/postgres.sh"
# shellcheck source=scripts/services/lifecycle.sh
. "$ROOT/scripts/services/lifecycle.sh"
# shellcheck source=scripts/services/env.sh
. "$ROOT/scripts/services/env.sh"

choose_kind() {
  local asked=${HITSTREAM_SERVICES:-} last
  last=$(recall kind)
  case $asked in
  docker) docker_answers || die "HITSTREAM_SERVICES=docker, but no docker daemon answers 'docker info'" ;;
  local | '') ;;
  *) die "HITSTREAM_SERVICES is '$asked'; it may be docker or local" ;;
  esac
  if [[ -n $last && -n $asked && $last != "$asked" ]]; then
    die "services of kind '$last' exist in $STATE: run '$0 stop' before starting '$asked' ones"
  fi
  if [[ -n $last$asked ]]; then
    printf '%s\n' "${last:-$asked}"
  elif docker_answers; then
    printf 'docker\n'
  else
    printf 'local\n'
  fi
}

start() {
  local kind name began=$SECONDS
  mkdir -p "$STATE"
  kind=$(choose_kind)
  remember kind "$kind"
  if [[ -z $(recall password) ]]; then
    (umask 077 && remember password "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')")
  fi
  for name in "$@"; do
    case $name in
    kafka) begin kafka "$kind" "${HITSTREAM_KAFKA_PORT:-}" ;;
    postgres) begin postgres "$kind" "${HITSTREAM_POSTGRES_PORT:-}" ;;
    esac
  done
  for name in "$@"; do
    await "$name"
    if [[ $name == postgres ]]; then prepare_postgres; fi
  done
  write_env
  say "ready after $((SECONDS - began)) s: $(addresses "$@"); to use: . $ENV_FILE"
}

addresses() {
  local name list=''
  for name in "$@"; do list+=", $name on 127.0.0.1:$(recall "$name.port")"; done
  printf '%s\n' "${list:2}"
}

status() {
  local name started=0 answering=0
  for name in "$@"; do
    if [[ -z $(recall "$name.port") ]]; then
      say "$name: not started"
      continue
    fi
    started=$((started + 1))
    if ! alive "$name"; then
      say "$name: not running any more; 'start' takes its data up again"
    elif "${name}_answers"; then
      say "$name: answers on 127.0.0.1:$(recall "$name.port") ($(recall kind))"
      answering=$((answering + 1))
    else
      say "$name: runs but does not answer on 127.0.0.1:$(recall "$name.port"); its log is $STATE/$name.log"
    fi
  done
  if ((started == 0)); then return 3; fi
  ((answering == $#))
}

stop() {
  local name cid dir
  for name in "$@"; do
    if [[ -z $(recall "$name.port") ]]; then
      say "$name: not started"
      continue
    fi
    halt "$name"
    if [[ $name == kafka ]]; then keep_class_archive; fi
    cid=$(recall "$name.cid")
    if [[ -n $cid ]] && ! docker rm -f -v "$cid" >/dev/null 2>&1; then
      say "$name: docker could not remove container ${cid:0:12}; if it is still there: docker rm -f -v ${cid:0:12}"
    fi
    for dir in "$(recall "$name.socket")" "$(recall "$name.data")"; do
      if [[ -n $dir ]]; then rm -rf "$dir"; fi
    done
    rm -rf "${STATE:?}/$name" "$STATE/$name".*
    say "$name: stopped, data removed"
  done
  if [[ -z $(recall kafka.port)$(recall postgres.port) ]]; then
    # Only what is ours: the directory may have been somebody's choice.
    rm -f "$STATE/kind" "$STATE/password" "$ENV_FILE"
    rmdir "$STATE" 2>/dev/null || true
  else
    write_env
  fi
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

main() {
  local command=${1:-} only=${2:-}
  case $only in
  '') set -- kafka postgres ;;
  kafka | postgres) set -- "$only" ;;
  *) die "'$only' is no service: kafka or postgres" ;;
  esac
  case $command in
  start | stop)
    # Two at once would trip over each other's state. The lock is on the repository itself: no file to leave behind.
    if command -v flock >/dev/null; then
      exec 9<"$ROOT/scripts"
      flock -w 120 9 || die "another '$0' has been at work here for two minutes"
    fi
    "$command" "$@"
    ;;
  status) status "$@" ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 64
    ;;
  esac
}

main "$@"
