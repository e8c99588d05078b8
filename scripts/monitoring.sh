#!/usr/bin/env bash
# Checks what watches hitstream: Prometheus' rules, their tests, the Alertmanager's file, Grafana's dashboards.
#
#   scripts/monitoring.sh check      all that needs no service: rules and their tests, dashboards, names of metrics, runbook
#   scripts/monitoring.sh live PROMETHEUS_URL [POSTGRES_URL [FOLDER]]
#                                    runs every query of every dashboard (default: POSTGRES_URL of the environment, and the
#                                    dashboards in grafana/dashboards); scripts/monitoring/live.py says how
#   scripts/monitoring.sh tool NAME  says where a tool is: promtool, prometheus, amtool, prometheus-alertmanager
#   scripts/monitoring.sh alertmanager ARGUMENTS…
#                                    becomes an Alertmanager, wherever it was found
#   scripts/monitoring.sh selftest   plants faults and sees whether the two above find them
#
# What it needs is fetched into the user's cache when it is not there. Exits 0 when all is well, 1 when something is not,
# 69 when a tool cannot be had.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck source=scripts/monitoring/tools.sh
. "$ROOT/scripts/monitoring/tools.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

# quietly COMMAND…: its output only where it fails.
quietly() {
  local said
  if ! said=$("$@" 2>&1); then
    printf '%s\n' "$said" >&2
    return 1
  fi
}

check() {
  local promtool amtool failed=0 config=$ROOT/config
  promtool=$(tool promtool)
  amtool=$(tool amtool)
  quietly "$promtool" check config "$config/prometheus/prometheus.yml" || failed=1
  quietly "$promtool" check rules "$config"/prometheus/rules/*.yml || failed=1
  quietly "$promtool" test rules "$config"/prometheus/tests/*.yml || failed=1
  quietly "$amtool" check-config "$config/alertmanager/alertmanager.yml" || failed=1
  run_python "$ROOT/scripts/monitoring/check.py" || failed=1
  return "$failed"
}

main() {
  local command=${1:-}
  if (($# > 0)); then shift; fi
  case $command in
  check) check ;;
  live)
    (($# >= 1)) || die 'live wants the URL of a running Prometheus: scripts/monitoring.sh live http://127.0.0.1:9090'
    [[ -n ${2:-${POSTGRES_URL:-}} ]] || die 'live wants the URL of a PostgreSQL as its second argument, or in POSTGRES_URL'
    run_python "$ROOT/scripts/monitoring/live.py" "$1" "${2:-$POSTGRES_URL}" ${3:+"$3"}
    ;;
  tool)
    [[ -n ${PACKAGE_OF[${1:-none}]:-} ]] || die "tool wants one of ${!PACKAGE_OF[*]}"
    tool "$1"
    ;;
  alertmanager) run_alertmanager "$@" ;;
  selftest) run_python "$ROOT/scripts/monitoring/selftest.py" ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 64
    ;;
  esac
}

main "$@"
