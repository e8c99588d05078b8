# shellcheck shell=bash
# How the cases of tests/containers.sh ask and wait. Sourced by it.

PASSED=0
FAILED=0

# Compose, with nothing of this shell's own variables.
compose() {
  env -i PATH="$PATH" HOME="${HOME:-/root}" DOCKER_HOST="$DOCKER_HOST" DOCKER_CONFIG="$DOCKER_CONFIG" \
    "$COMPOSE" --progress quiet -p "$PROJECT" -f "$ROOT/docker-compose.yml" --project-directory "$ROOT" \
    --env-file "$WORK/stream.env" --profile demo "$@"
}

# case_of NAME FUNCTION: runs it, counts it, tells why it failed.
case_of() {
  local name=$1 began=$SECONDS said result
  shift
  # Not within a condition, where nothing that fails would end it.
  set +e
  said=$(
    set -e
    "$@" 2>&1
  )
  result=$?
  set -e
  if ((result == 0)); then
    PASSED=$((PASSED + 1))
    printf 'ok     %s (%d s)%s\n' "$name" "$((SECONDS - began))" "${said:+: $(tail -n 1 <<<"$said")}"
  else
    FAILED=$((FAILED + 1))
    printf 'FAILED %s (%d s)\n' "$name" "$((SECONDS - began))"
    tail -n 30 <<<"$said" | sed 's/^/    /'
  fi
}

# within SECONDS WHAT COMMAND…: looks again until it is so, or the time is over.
within() {
  local limit=$1 what=$2 began=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - began >= limit)); then
      printf 'not within %s s: %s\n' "$limit" "$what"
      "$@" 2>&1 | tail -n 5 || true
      return 1
    fi
    sleep 0.5
  done
}

# expect WHAT IS WANTED
expect() {
  [[ $2 == "$3" ]] && return 0
  printf '%s: %s, not %s\n' "$1" "$2" "$3"
  return 1
}

# The containers of a service.
containers() { compose ps -q "$1"; }

# inspect CONTAINER FORMAT
inspect() { "$DOCKER" inspect -f "$2" "$1"; }

is_healthy() { [[ $(inspect "$1" '{{.State.Health.Status}}') == healthy ]]; }

all_healthy() {
  local container
  for container in $("$DOCKER" ps -aq --filter "label=com.docker.compose.project=$PROJECT"); do
    is_healthy "$container" || {
      inspect "$container" '{{.Name}} {{.State.Status}} {{.State.Health.Status}} {{range .State.Health.Log}}{{.Output}}{{end}}'
      return 1
    }
  done
}

# sql QUERY: one value, as the owner of the tables.
sql() { compose exec -T postgres psql -qtAX -U youruser -d web_traffic -c "$1"; }

# hitstream ARGUMENTS…: as a person would, within the first instance.
hitstream() { compose exec -T hitstream hitstream "$@"; }

get() { curl -sS --max-time 5 "$@"; }

# prometheus QUERY: its first value.
prometheus() {
  get --data-urlencode "query=$1" "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" |
    python3 -c 'import json, sys; result = json.load(sys.stdin)["data"]["result"]; print(result[0]["value"][1] if result else "nothing")'
}

committed() { sql 'SELECT coalesce(sum(next_offset), 0)::bigint FROM partition_progress'; }

has_moved() { (($(committed) > $1)); }

# The port on this machine that an instance has.
port_of() { inspect "$1" '{{(index (index .NetworkSettings.Ports "8080/tcp") 0).HostPort}}'; }

# kill_hard CONTAINER: as a crash would, so that it is not taken for being stopped by hand, after which it would stay so.
kill_hard() { kill -KILL "$(inspect "$1" '{{.State.Pid}}')"; }

restarts_of() { inspect "$1" '{{.RestartCount}}'; }
