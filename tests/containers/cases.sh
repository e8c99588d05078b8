# shellcheck shell=bash disable=SC2317  # all are called by case_of
# What tests/containers.sh tries, in this order. Sourced by it.

try_everything() {
  case_of 'the image is small, runs as nobody, says what it is' image_is_as_it_should_be
  case_of 'up --wait ends with all healthy' comes_up
  if ((FAILED > 0)); then
    compose ps -a || true
    compose logs --tail 15 || true
    return
  fi
  case_of 'hitstream cannot write, has no capability, is bounded' hitstream_is_confined
  case_of 'ports are open to this machine alone' ports_are_local
  case_of 'the host reaches hitstream and Kafka' host_reaches_them
  case_of 'traffic becomes rows, live and final, late and rejected' traffic_becomes_rows
  case_of 'Prometheus watches the instance, has the rules and an Alertmanager' prometheus_watches
  case_of 'Grafana has data sources and dashboards; its role reads and cannot write' grafana_is_provisioned
  case_of 'every query of the dashboards is answered' queries_are_answered
  case_of 'pgAdmin knows the server' pgadmin_knows_the_server
  case_of 'the ledger is clean' audit_is_clean
  local service
  for service in hitstream kafka postgres prometheus alertmanager grafana pgadmin generate; do
    case_of "$service comes back when it is killed, and the ledger is clean" comes_back "$service"
  done
  case_of 'three instances share the partitions, each with a port' scales_to_three
  case_of 'one of three is killed: the others count on, it comes back' one_of_three_is_killed
  case_of 'instances end orderly: exit code 0' ends_orderly
  case_of 'another container goes on with what there is' is_upgraded
  case_of 'down and up again: nothing is lost' survives_down
  case_of 'down removes all but the volumes' goes_down
}

image_is_as_it_should_be() {
  local image bytes base own
  image=$(compose config --images | grep -m 1 '^hitstream:')
  expect user "$("$DOCKER" image inspect -f '{{.Config.User}}' "$image")" 65532:65532
  expect revision "$("$DOCKER" image inspect -f '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image")" "$REVISION"
  expect version "hitstream $("$DOCKER" image inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' "$image") ($REVISION)" \
    "$("$DOCKER" run --rm --network none "$image" --version)"
  expect 'health check' "$("$DOCKER" image inspect -f '{{json .Config.Healthcheck.Test}}' "$image")" '["CMD","hitstream","check","--health"]'
  bytes=$("$DOCKER" image inspect -f '{{.Size}}' "$image")
  base=$("$DOCKER" image inspect -f '{{.Size}}' "$(base_of_dockerfile)")
  own=$(((bytes - base) / 1000000))
  # The official base is some 75 MB; a stand-in is larger.
  ((own < 60)) || { echo "$own MB over its base image"; return 1; }
  echo "$own MB over its base image"
}

comes_up() {
  compose up --no-build --wait --wait-timeout 400
  all_healthy
}

hitstream_is_confined() {
  local container
  container=$(containers hitstream)
  expect 'read only' "$(inspect "$container" '{{.HostConfig.ReadonlyRootfs}}')" true
  expect memory "$(inspect "$container" '{{.HostConfig.Memory}}')" 536870912
  expect capabilities "$(compose exec -T hitstream sed -n 's/^CapEff:[[:space:]]*//p' /proc/1/status)" 0000000000000000
  expect privileges "$(compose exec -T hitstream sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/1/status)" 1
  expect uid "$(compose exec -T hitstream sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' /proc/1/status)" 65532
  ! compose exec -T hitstream touch /tmp/x 2>/dev/null || { echo 'it may write /tmp/x'; return 1; }
}

ports_are_local() {
  local container open
  for container in $(compose ps -q); do
    open=$(inspect "$container" '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}')
    [[ -z ${open//127.0.0.1 /} ]] || { echo "open: $open"; return 1; }
  done
}

host_reaches_them() {
  expect hitstream "$(get -o /dev/null -w '%{http_code}' "http://127.0.0.1:$(port_of "$(containers hitstream)")/readyz")" 200
  bash "$ROOT/config/kafka/answers.sh" "$KAFKA_PORT"
}

traffic_becomes_rows() {
  local table
  hitstream generate --count 20000 --late 2% --malformed 1% >/dev/null
  for table in live_web_traffic aggregated_web_traffic late_web_traffic rejected_events processed_events live_web_traffic_by_country; do
    within 90 "rows in $table" has_rows "$table"
  done
  echo "$(committed) records"
}

has_rows() { (($(sql "SELECT count(*) FROM $1") > 0)); }

prometheus_watches() {
  within 60 'the instance is up in Prometheus' is_watched 1
  expect rules "$(get "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/rules" | grep -o '"health":"[a-z]*"' | sort -u | grep -v unknown || true)" '"health":"ok"'
  within 60 'an Alertmanager' has_alertmanager
  within 60 'what was recorded' is_recorded
  get "http://127.0.0.1:$ALERTMANAGER_PORT/-/ready" >/dev/null
}

is_watched() { expect instances "$(prometheus 'count(up{job="hitstream"} == 1)')" "$1"; }
has_alertmanager() { get "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/alertmanagers" | grep -q '"activeAlertmanagers":\[{"url":"http://[^"]*:9093/'; }
is_recorded() { [[ $(prometheus 'hitstream:committed_records:rate1m > 0') != nothing ]]; }

grafana_is_provisioned() {
  local said
  said=$(get "http://127.0.0.1:$GRAFANA_PORT/")
  echo "$said"
  grep -Eq '"hits": [1-9]' <<<"$said"
  grep -q '"instances_up": 1' <<<"$said"
  grep -q '"dashboards": \["' <<<"$said"
}

queries_are_answered() {
  within 150 'an answer to each query' "$ROOT/scripts/monitoring.sh" live "http://127.0.0.1:$PROMETHEUS_PORT" \
    "postgres://grafana:of%20%23%20gr%24afana@127.0.0.1:$HOST_PORT/web_traffic"
}

pgadmin_knows_the_server() {
  local servers
  # shellcheck disable=SC2016  # the container's variables
  servers=$(compose exec -T pgadmin sh -c 'cd "$(find / -path "*pgadmin4/setup.py" 2>/dev/null | xargs -r dirname)" &&
    PYTHONPATH=/tmp/pgadmin /venv/bin/python3 setup.py dump-servers /tmp/servers.json --user "$PGADMIN_DEFAULT_EMAIL" >/dev/null &&
    cat /tmp/servers.json')
  echo "$servers"
  grep -q '"Host": "postgres"' <<<"$servers"
  grep -q '"Port": 5434' <<<"$servers"
  grep -q '"Username": "youruser"' <<<"$servers"
  expect page "$(get -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PGADMIN_PORT/login")" 200
}

audit_is_clean() { within 60 'a clean audit' hitstream audit; }

comes_back() {
  local container before moved
  container=$(containers "$1")
  before=$(restarts_of "$container")
  kill_hard "$container"
  within 30 "$1 is started again" was_restarted "$container" "$before"
  within 200 'all are healthy' all_healthy
  moved=$(committed)
  within 60 'more is counted' has_moved "$moved"
  audit_is_clean
}

# has_committed HOST SINCE: an instance is known by its container's name.
has_committed() { (($(sql "SELECT count(*) FROM partition_progress WHERE owner LIKE '$1:%' AND updated_at > '$2'") > 0)); }

was_restarted() { (($(restarts_of "$1") > $2)); }

scales_to_three() {
  local container ports
  compose up --no-build --wait --wait-timeout 300 --scale hitstream=3
  expect instances "$(containers hitstream | wc -l)" 3
  ports=$(for container in $(containers hitstream); do port_of "$container"; done | sort -u)
  expect 'different ports' "$(wc -l <<<"$ports")" 3
  within 60 'three owners' has_owners 3
  within 60 'three instances in Prometheus' is_watched 3
  audit_is_clean
}

has_owners() { expect owners "$(sql 'SELECT count(DISTINCT owner) FROM partition_progress')" "$1"; }

one_of_three_is_killed() {
  local container before moved now
  container=$(containers hitstream | tail -n 1)
  before=$(restarts_of "$container")
  moved=$(committed)
  kill_hard "$container"
  within 15 'the others count on' has_moved "$moved"
  within 30 'it is started again' was_restarted "$container" "$before"
  now=$(sql 'SELECT now()')
  within 60 'all are healthy' all_healthy
  within 60 'it has partitions again' has_committed "${container:0:12}" "$now"
  audit_is_clean
}

ends_orderly() {
  local container
  compose stop hitstream
  for container in $("$DOCKER" ps -aq --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=hitstream); do
    expect 'exit code' "$(inspect "$container" '{{.State.ExitCode}}')" 0
  done
}

is_upgraded() {
  local before after
  before=$(committed)
  compose up --no-build --wait --wait-timeout 120 --scale hitstream=1 --force-recreate --no-deps hitstream
  expect instances "$(containers hitstream | wc -l)" 1
  within 60 'more is counted' has_moved "$before"
  after=$(committed)
  audit_is_clean
  echo "$before, then $after records"
}

survives_down() {
  local before
  compose stop generate
  within 60 'all is counted' nothing_is_unread
  before=$(committed)
  compose down
  compose up --no-build --wait --wait-timeout 400 hitstream grafana
  expect records "$(committed)" "$before"
  audit_is_clean
}

nothing_is_unread() { hitstream audit | grep -q '; 0 offsets in Kafka still unread'; }

goes_down() {
  compose down
  expect containers "$("$DOCKER" ps -aq | wc -l)" 0
  expect networks "$("$DOCKER" network ls -q --filter "label=com.docker.compose.project=$PROJECT" | wc -l)" 0
  expect volumes "$("$DOCKER" volume ls -q --filter "label=com.docker.compose.project=$PROJECT" | wc -l)" 6
}
