#!/usr/bin/env bash
# Takes PostgreSQL or Kafka away from a running pipeline, and records what the pipeline does meanwhile.
#
#   scripts/outage.sh postgres|kafka [MINUTES]     default: 10
#
# Builds hitstream (or takes $HITSTREAM) and runs it with services of its own. Prints a line for each minute, then what came
# of it. Exits 0 when every record sent was counted once, no actor died, and, with PostgreSQL away, no partition moved. Too
# long for CI, where tests/outage.rs does the same within seconds.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in
postgres | kafka) away=$1 ;;
*)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2
  exit 64
  ;;
esac
minutes=${2:-10}
hitstream=${HITSTREAM:-$("$ROOT/scripts/built.sh")/hitstream}
[[ -x $hitstream ]] || { echo "outage: no program $hitstream: set HITSTREAM to one, or leave it out" >&2; exit 64; }

work=$(mktemp -d)
export HITSTREAM_SERVICES_DIR=$work/services
pids=()
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  if ((${#pids[@]})); then kill -KILL "${pids[@]}" 2>/dev/null || true; fi
  "$ROOT/scripts/services.sh" stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$ROOT/scripts/services.sh" start >/dev/null
# shellcheck source=/dev/null
. "$HITSTREAM_SERVICES_DIR.env"
export KAFKA_TOPIC=outage KAFKA_GROUP=outage

send() { "$hitstream" generate --create-topic --partitions 6 --rate 2000 --start 2026-01-01T00:00:00Z --step 20ms "$@" >/dev/null 2>>"$work/generate.log"; }
committed() {
  psql "$POSTGRES_URL" -qtAX -c 'SELECT coalesce(sum(next_offset), 0) FROM partition_progress' 2>/dev/null || echo '?'
}
resident() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pipeline/status"; }
logged() { grep -c "$1" "$work/run.log" || true; }

# With Kafka away nothing can be sent: half before, half after.
if [[ $away == postgres ]]; then total=$(((minutes + 1) * 60 * 2000)); else total=120000; fi
if [[ $away == postgres ]]; then
  send --count "$total" &
  pids+=($!)
else
  send --count $((total / 2))
fi
HITSTREAM_HTTP__LISTEN=127.0.0.1:0 "$hitstream" run 2>"$work/run.log" &
pipeline=$!
pids+=("$pipeline")
until [[ $(committed) =~ ^[1-9] ]]; do sleep 0.5; done

echo "$away away for $minutes min, $total records of about 400 bytes, $("$hitstream" --version)"
echo "minute  resident MiB  threads  generations  assignments"
line() {
  printf '%6s  %12s  %7s  %11s  %11s\n' "$1" "$(resident)" "$(awk '/^Threads/ {print $2}' "/proc/$pipeline/status")" \
    "$(logged 'pipeline started')" "$(logged 'the group assigns')"
}
line 0
read -r pid _ <"$HITSTREAM_SERVICES_DIR/$away.pid"
kill -s "$([[ $away == postgres ]] && echo QUIT || echo KILL)" "$pid"
for ((minute = 1; minute <= minutes; minute++)); do
  sleep 60
  line "$minute"
done
"$ROOT/scripts/services.sh" start >/dev/null
back=$SECONDS
if [[ $away == kafka ]]; then send --count $((total / 2)) --seed 2; fi
until [[ $(committed) == "$total" ]]; do
  ((SECONDS - back < 300)) || { echo "outage: $(committed) of $total records after 5 min" >&2; exit 1; }
  sleep 0.5
done
line end
echo "all is counted $((SECONDS - back)) s after the return; lines of log: $(wc -l <"$work/run.log")"
kill -TERM "$pipeline"
wait "$pipeline"
"$hitstream" audit
[[ $(logged 'pipeline started') == 1 ]] || { echo "outage: the pipeline started again" >&2; exit 1; }
# A group whose only broker is gone for longer than a session is joined anew.
[[ $away == kafka || $(logged 'the group revokes') == 0 ]] || { echo "outage: a partition moved" >&2; exit 1; }
