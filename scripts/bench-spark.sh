#!/usr/bin/env bash
# Measures hitstream beside the Spark job that it takes the place of (bench/spark/job.py), on a Kafka and a PostgreSQL of
# their own, and compares the rows. Exits 1 where they differ.
#
#   scripts/bench-spark.sh [--quick] [--json] [--records N] [--rounds N]     see docs/BENCHMARKS.md
#
# PySpark comes from PyPI into a virtual environment, its connectors from Maven, all of it into target/spark; the versions
# are those of bench/spark/pom.xml.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
POM=$ROOT/bench/spark/pom.xml
SPARK_VERSION=$(sed -n 's:.*<spark.version>\(.*\)</spark.version>.*:\1:p' "$POM")
# Kept for each content of the pom, so that versions never mix.
KEPT=$ROOT/target/spark/$SPARK_VERSION-$(cksum <"$POM" | cut -d' ' -f1)

say() { printf 'bench-spark: %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

fetch_spark() {
  [[ ! -e $KEPT/complete ]] || return 0
  rm -rf "$KEPT"
  mkdir -p "$KEPT"
  say "fetching PySpark $SPARK_VERSION with pip, 500 MB, into $KEPT"
  python3 -m venv "$KEPT/venv" || die "python3 could not make a virtual environment in $KEPT/venv"
  "$KEPT/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pyspark==$SPARK_VERSION" </dev/null >&2 ||
    die "pip could not get PySpark $SPARK_VERSION; is there a network, and Python 3.10 or newer?"
  say "fetching its connectors with Maven"
  mvn -B -q -f "$POM" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$KEPT/jars" </dev/null >&2 ||
    die "Maven could not fetch what $POM names; is there a network?"
  : >"$KEPT/complete"
}

case ${1:-} in -h | --help)
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
  ;;
esac
scripts/setup.sh java maven venv
fetch_spark
java=$(readlink -f "$(scripts/find-java.sh)")
export JAVA_HOME=${java%/bin/java}
export PYSPARK_PYTHON=$KEPT/venv/bin/python
SPARK_HOME=$("$PYSPARK_PYTHON" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME
export HITSTREAM_SPARK_JARS=$KEPT/jars
exec scripts/bench.sh --spark "$@"
