#!/usr/bin/env bash
# Prints the first Java that can run a Kafka 4 broker (17 or newer): under JAVA_HOME, on PATH, or where Linux
# distributions put them. Exits 1 when there is none.
set -euo pipefail

for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
  [[ -n $java && -x $java ]] || continue
  version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  if [[ -n $version && $version -ge 17 ]]; then
    printf '%s\n' "$java"
    exit 0
  fi
done
exit 1
