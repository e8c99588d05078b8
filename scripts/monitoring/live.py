#!/usr/bin/env python3
"""Runs every query of every dashboard: none may fail, and none may have an empty answer without a reason.

    scripts/monitoring/live.py PROMETHEUS_URL POSTGRES_URL [FOLDER]

FOLDER holds the dashboards; those in grafana/dashboards are the default.
PROMETHEUS_URL is asked about the last quarter of an hour. POSTGRES_URL is asked with psql, in a session that can only read,
about LIVE_FROM to LIVE_TO (RFC 3339), by default a day from now both ways: generated traffic may run ahead of the clock. An
answer without a row, or of NULL and NaN alone, is empty. What may be empty stands in may-be-empty.txt beside this file;
with LIVE_ALL=1 nothing may.
Exits 1 if a query fails or is empty.
"""

import csv
import datetime
import io
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from dashboards import FOLDER, Unknown, filled, load, sql

MAY_BE_EMPTY = pathlib.Path(__file__).with_name("may-be-empty.txt")
LIMIT = 30
RANGE = 900
STEP = 15
# What Grafana and a person would choose.
PROMQL = {"__rate_interval": "1m", "__interval": "15s", "__range": f"{RANGE}s", "instance": ".+", "range": "1m"}
SQL = {"__interval": "1m"}
NOTHING = {"", "NaN", "null"}


class Failed(Exception):
    """The server did not answer a query; with its words."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def get(self, path, **parameters):
        data = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{data.decode()}", timeout=LIMIT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(error.read().decode(errors="replace")[:300]) from error
        except (OSError, ValueError) as error:
            raise Failed(f"{self.url}: {error}") from error

    def values(self, query):
        """All values of the answer to a query."""
        now = time.time()
        promql = filled(query.text, PROMQL)
        if query.is_instant:
            answer = self.get("query", query=promql, time=now)
        else:
            answer = self.get("query_range", query=promql, start=now - RANGE, end=now, step=STEP)
        if answer["resultType"] == "matrix":
            return [value for series in answer["result"] for _, value in series["values"]]
        return [series["value"][1] for series in answer["result"]]

    def choices(self, query):
        """What a variable's list, `label_values(SELECTOR, LABEL)`, offers."""
        arguments = query.text.removeprefix("label_values(").removesuffix(")")
        selector, _, label = arguments.rpartition(",")
        return self.get(f"label/{label.strip()}/values", **{"match[]": filled(selector, PROMQL)})


class Postgres:
    """A running PostgreSQL, asked with psql."""

    def __init__(self, url, begin, end):
        self.url, self.begin, self.end = url, begin, end
        self.psql = os.environ.get("HITSTREAM_PG_BIN", "")
        self.psql = shutil.which("psql", path=self.psql) or shutil.which("psql") or "psql"

    def rows(self, query, **variables):
        text = sql(query.text, SQL | variables, self.begin, self.end)
        options = f"-c default_transaction_read_only=on -c statement_timeout={LIMIT}s"
        command = [self.psql, self.url, "-XqtA", "--csv", "-v", "ON_ERROR_STOP=1", "-c", text]
        environment = os.environ | {"PGOPTIONS": options, "PGCONNECT_TIMEOUT": str(LIMIT)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=2 * LIMIT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(str(error)) from error
        if done.returncode != 0:
            raise Failed(done.stderr.strip()[:300])
        return list(csv.reader(io.StringIO(done.stdout)))


def is_something(values):
    """Whether there is a value that Grafana would draw."""

    def drawn(value):
        try:
            return math.isfinite(float(value))
        except ValueError:
            return value not in NOTHING

    return any(drawn(value) for value in values)


def quoted(values):
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def hosts(postgres, dashboard):
    """What a person may choose for `$host`: all, and the two that the list offers first."""
    choices = []
    for query in dashboard.queries():
        if query.is_variable and query.is_sql:
            choices = [row[0] for row in postgres.rows(query)]
    everything = [v["allValue"] for v in dashboard.variables() if v["name"] == "host"]
    return everything + ([quoted(choices[:2])] if choices else [])


def answers(query, prometheus, postgres, chosen):
    """The values of each way to ask a query."""
    if query.is_variable:
        if query.is_sql:
            return [[cell for row in postgres.rows(query) for cell in row]]
        return [prometheus.choices(query)]
    if not query.is_sql:
        return [prometheus.values(query)]
    ways = chosen if "$host" in query.text else [""]
    return [[cell for row in postgres.rows(query, host=way) for cell in row] for way in ways]


def reasons(path=MAY_BE_EMPTY):
    """Why a panel, or one query of it, may be empty, by its name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines)


def faults(dashboards, prometheus, postgres, may_be_empty):
    """A line for each query that fails or is empty without a reason, and for each reason that is for nothing."""
    names = set()
    for dashboard in dashboards:
        try:
            chosen = hosts(postgres, dashboard)
        except Failed as error:
            yield f"{dashboard.name}: the hosts to choose from: {error}"
            chosen = []
        for query in dashboard.queries():
            names.update({query.panel, str(query)})
            try:
                empty = not all(map(is_something, answers(query, prometheus, postgres, chosen)))
            except (Failed, Unknown) as error:
                yield f"{query}: {error}"
                continue
            if empty and not {query.panel, str(query)} & may_be_empty.keys():
                yield f"{query}: the answer is empty"
    for name in may_be_empty.keys() - names:
        yield f"{MAY_BE_EMPTY.name}: there is no panel {name}"


def moment(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).isoformat()


def main(arguments):
    if len(arguments) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    prometheus = Prometheus(arguments[0])
    postgres = Postgres(arguments[1], os.environ.get("LIVE_FROM") or moment(-1), os.environ.get("LIVE_TO") or moment(1))
    dashboards = load(pathlib.Path(arguments[2]) if arguments[2:] else FOLDER)
    if not dashboards:
        print(f"monitoring: error: no dashboard in {arguments[2:] or FOLDER}", file=sys.stderr)
        return 1
    may_be_empty = {} if os.environ.get("LIVE_ALL") == "1" else reasons()
    found = list(faults(dashboards, prometheus, postgres, may_be_empty))
    for fault in found:
        print(f"monitoring: error: {fault}", file=sys.stderr)
    if found:
        return 1
    asked = sum(len(dashboard.queries()) for dashboard in dashboards)
    print(f"monitoring: {asked} queries of {len(dashboards)} dashboards answered")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
