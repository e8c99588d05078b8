#!/usr/bin/env bash
# Checks docker-compose.yml, stream.env.example, Dockerfiles and what belongs to them, without a Docker daemon.
#
#   scripts/deployment.sh check      the compose file as Compose reads it, with and without the profile demo, with a
#                                    stream.env as a Spark job had it; each service; each variable; Dockerfiles; GitHub's
#                                    workflows, the Kubernetes example and the systemd unit by their schemas
#   scripts/deployment.sh selftest   plants faults and sees whether the above finds them
#   scripts/deployment.sh tool NAME  says where a tool is: docker-compose, hadolint
#
# docker-compose and hadolint are fetched into the user's cache. What only containers show is tried by tests/containers.sh.
# Exits 0 when all is well, 1 when something is not, 69 when a tool cannot be had.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck source=scripts/deployment/tools.sh
. "$ROOT/scripts/deployment/tools.sh"

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

main() {
  local compose hadolint packages
  case ${1:-} in
  check | selftest)
    compose=$(tool docker-compose)
    hadolint=$(tool hadolint)
    packages=$(packages)
    export PYTHONDONTWRITEBYTECODE=1
    COMPOSE=$compose HADOLINT=$hadolint python3 "$ROOT/scripts/deployment/$1.py"
    PYTHONPATH=$packages python3 "$ROOT/scripts/deployment/schemas.py" "$1"
    ;;
  tool)
    if [[ -z ${WHEEL_OF[${2:-none}]:-} ]]; then
      printf 'deployment: error: tool wants one of %s\n' "${!WHEEL_OF[*]}" >&2
      exit 1
    fi
    tool "$2"
    ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 64
    ;;
  esac
}

main "$@"
