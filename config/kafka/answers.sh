#!/bin/bash
# Whether a broker answers at PORT of this machine: answers.sh PORT. The health check of docker-compose.yml.
#
# A metadata request of our own (version 4, no topics), for a JVM would take a second for each look. It is true once the
# broker lists itself, so not before clients can use it.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf '\0\0\0\17\0\3\0\4\0\0\0\1\377\377\0\0\0\0\0' >&3
read -r -a bytes < <(head -c 16 <&3 | od -An -v -tu1) || true
# size, correlation id, throttle time, number of brokers
if [ "${#bytes[@]}" -ne 16 ] || [ "${bytes[15]}" -eq 0 ]; then
  echo "what answers at port $1 is no broker that lists itself: ${bytes[*]}" >&2
  exit 1
fi
