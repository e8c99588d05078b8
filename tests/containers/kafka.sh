#!/bin/bash
# Entrypoint of the stand-in for apache/kafka: variables KAFKA_… become properties, the data folder is formatted once.
set -eu
properties=/tmp/server.properties
for name in "${!KAFKA_@}"; do
  case $name in KAFKA_HEAP_OPTS | KAFKA_OPTS | KAFKA_LOG4J_OPTS) continue ;; esac
  key=${name#KAFKA_}
  key=${key,,}
  key=${key//___/-}
  key=${key//__/$'\1'}
  key=${key//_/.}
  printf '%s=%s\n' "${key//$'\1'/_}" "${!name}"
done >"$properties"
java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config "$properties"
# shellcheck disable=SC2086  # several options
exec java ${KAFKA_HEAP_OPTS:-} -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
