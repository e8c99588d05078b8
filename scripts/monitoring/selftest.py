#!/usr/bin/env python3
"""Plants faults and sees whether check.py and live.py find them: a check that finds nothing proves nothing.

    scripts/monitoring/selftest.py

Prometheus is a stand-in here that answers, refuses or has nothing as the query says, and so is psql. Exits 1 if a fault is
not found, or if something is called a fault that is none.
"""

import copy
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading
import urllib.parse

import grafana_foundation_sdk.cog.plugins as plugins

import check
import live
import names
from dashboards import load, parsed

PSQL = """#!/bin/sh
for last; do :; done
case $last in
*nonsense*) echo 'ERROR:  column "nonsense" does not exist' >&2; exit 1 ;;
*nothing*) exit 0 ;;
*) echo 'www.example.com,1' ;;
esac
"""


class StandIn(http.server.BaseHTTPRequestHandler):
    """Prometheus, as far as live.py knows it."""

    def do_GET(self):
        asked = urllib.parse.urlparse(self.path)
        promql = urllib.parse.parse_qs(asked.query).get("query", [""])[0]
        data = {"resultType": "vector", "result": [{"metric": {}, "value": [0, "1"]}]}
        if asked.path.endswith("query_range"):
            data = {"resultType": "matrix", "result": [{"metric": {}, "values": [[0, "1"]]}]}
        if "/label/" in asked.path:
            data = ["127.0.0.1:8080"]
        if "nothing" in promql:
            data["result"] = []
        if "not_a_number" in promql:
            data["result"] = [{"metric": {}, "value": [0, "NaN"], "values": [[0, "NaN"]]}]
        is_wrong = "nonsense" in promql
        body = {"status": "error", "error": "parse error"} if is_wrong else {"status": "success", "data": data}
        self.send_response(400 if is_wrong else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def changed(dashboard, change):
    """A dashboard with a change to a copy of it."""
    model = copy.deepcopy(dashboard.model)
    change(model)
    return parsed(dashboard.name, json.dumps(model, indent=2, ensure_ascii=False) + "\n")


def first(model, key="expr"):
    """The first panel that asks something with `key`, and its first query."""
    for panel in model["panels"]:
        for target in panel.get("targets", []):
            if key in target:
                return panel, target
    raise AssertionError(f"no panel asks with {key}")


def ask(text, key="expr"):
    return lambda model: first(model, key)[1].update({key: text})


# What is planted into a dashboard, and what the fault has to say.
IN_DASHBOARDS = [
    ("there is no metric", ask("rate(hitstream_no_such_thing_total[1m])")),
    ("there is no metric", ask('sum(rate({__name__=~"hitstream_.*"}[1m]))')),
    ("has no label", ask('sum(rate(hitstream_hits_total{result="late"}[1m]))')),
    ("to group by", ask("sum by (result) (rate(hitstream_hits_total[1m]))")),
    ("Ready (A)", ask("sum(rate(")),
    ("neither a variable", ask("up{instance=~'$no_such_variable'}")),
    ("is not its own", lambda model: model["panels"][2].update(id=model["panels"][1]["id"])),
    ("is not provisioned", lambda model: first(model)[1].update(datasource={"type": "prometheus", "uid": "other"})),
    ("is nothing that Grafana knows", lambda model: first(model)[0].update(descripton="a slip of the pen")),
    ("description does not say", lambda model: first(model)[0].update(description="")),
    ("has no unit", lambda model: first(model)[0]["fieldConfig"]["defaults"].pop("unit")),
    ("lies over", lambda model: model["panels"][2]["gridPos"].update(model["panels"][1]["gridPos"])),
    ("has no title", lambda model: first(model)[0].update(title="")),
]
# What is planted into a dashboard that is run.
IN_LIVE = [
    ("pipeline", "pipeline / Ready (A): {\"status\": \"error\"", ask("sum(nonsense)")),
    ("pipeline", "pipeline / Ready (A): the answer is empty", ask("nothing")),
    ("pipeline", "pipeline / Ready (A): the answer is empty", ask("not_a_number")),
    ("traffic", 'traffic / Hits (A): ERROR:  column "nonsense"', ask("SELECT nonsense", "rawSql")),
    ("traffic", "traffic / Hits (A): the answer is empty", ask("SELECT nothing WHERE host IN ($host)", "rawSql")),
    ("traffic", "traffic / Hits (A): $other is neither", ask("SELECT $other", "rawSql")),
]


def expect(part, found, failures):
    found = list(found)
    if not any(part in fault for fault in found):
        failures.append(f"not found: {part!r}; found: {found}")


def plant_in_dashboards(pipeline, failures):
    sources, known = check.provisioned(), names.known()
    for part, change in IN_DASHBOARDS:
        expect(part, check.faults_of_dashboard(changed(pipeline, change), sources, known), failures)


def plant_in_rules(failures):
    rules, known, tests = names.rules(), names.known(), list(check.tests_of_alerts())
    runbook = (check.ROOT / "docs" / "OPERATIONS.md").read_text()
    alert = next(rule for rule in rules if "alert" in rule)
    expect("is no section", check.faults_of_rules(rules, known, "# Nothing\n"), failures)
    without = [{**alert, "labels": {}}, {**alert, "annotations": {}}, {**alert, "expr": "no_such_metric > 1"}]
    for rule, part in zip(without, ("severity is none", "has no summary", "there is no metric")):
        expect(part, check.faults_of_rules([rule], known, runbook), failures)
    for part in ("no test has it firing", "no test has it quiet"):
        expect(part, check.faults_of_tests([*rules, {**alert, "alert": "Untested"}], tests), failures)
    beside = {"name": "beside", "input_series": [{"series": "other", "values": "1"}]}
    beside["alert_rule_test"] = [{"alertname": "Untested", "exp_alerts": []}]
    expect("no test has it quiet", check.faults_of_tests([{**alert, "alert": "Untested"}], [beside]), failures)


def plant_in_live(dashboards, failures):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        psql = pathlib.Path(folder, "psql")
        psql.write_text(PSQL)
        psql.chmod(0o755)
        os.environ["HITSTREAM_PG_BIN"] = folder
        postgres = live.Postgres("postgres://127.0.0.1:1/nowhere", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
        prometheus = live.Prometheus(f"http://127.0.0.1:{server.server_port}")
        by_name = {dashboard.name: dashboard for dashboard in dashboards}
        failures.extend(live.faults(dashboards, prometheus, postgres, live.reasons()))
        for name, part, change in IN_LIVE:
            planted = [changed(by_name[name], change)]
            expect(part, live.faults(planted, prometheus, postgres, {}), failures)
        planted = [changed(by_name["pipeline"], ask("nothing"))]
        if list(live.faults(planted, prometheus, postgres, {"pipeline / Ready": "a test"})):
            failures.append("a panel that may be empty is called a fault")
        expect("there is no panel gone", live.faults([], prometheus, postgres, {"gone": "a test"}), failures)
    server.shutdown()


def main():
    plugins.register_default_plugins()
    dashboards = load()
    failures = []
    plant_in_dashboards(next(d for d in dashboards if d.name == "pipeline"), failures)
    plant_in_rules(failures)
    plant_in_live(dashboards, failures)
    for failure in failures:
        print(f"monitoring: error: selftest: {failure}", file=sys.stderr)
    if not failures:
        print("monitoring: selftest: every planted fault was found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
