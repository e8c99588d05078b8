#!/usr/bin/env python3
"""Checks what promtool cannot: dashboards, the queries in them, and that alerts are tested and have a runbook.

    scripts/monitoring/check.py

Prints a line for each fault and exits 1 if there are any. scripts/monitoring.sh sees to what it needs.
"""

import json
import re
import sys

import grafana_foundation_sdk.cog.plugins as plugins
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

import names
from dashboards import ROOT, Unknown, filled, load

RUNBOOK = "https://github.com/hitstream/hitstream/blob/main/docs/OPERATIONS.md"
SEVERITIES = {"critical", "warning"}
# Grafana's own, with what stands for them where a query is only parsed.
BUILT_IN = {"__rate_interval": "1m", "__interval": "1m", "__range": "1h"}
# Grafana writes it, its model leaves it out.
ROW_WITHOUT_PANELS = re.compile(r"\.panels\[\d+\]\.panels")


def provisioned():
    """The type of each data source, by uid."""
    found = {}
    for path in sorted((ROOT / "grafana" / "provisioning" / "datasources").glob("*.yml")):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            found[source["uid"]] = source["type"]
    return found


def sources_named(model):
    """Every data source that is named anywhere in a dashboard."""
    if isinstance(model, dict):
        if isinstance(model.get("datasource"), dict):
            yield model["datasource"]
        for value in model.values():
            yield from sources_named(value)
    elif isinstance(model, list):
        for value in model:
            yield from sources_named(value)


def lost(before, after, path=""):
    """What of `before` is not in `after`: Grafana's own model does not know it."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after:
                yield f"{path}.{key}"
            else:
                yield from lost(value, after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}[{index}]")
    elif before != after:
        yield f"{path} ({before!r} became {after!r})"


def round_trip(model):
    """What a dashboard loses on its way through Grafana's model of dashboards."""
    try:
        back = json.loads(json.dumps(GrafanaDashboard.from_json(model), cls=JSONEncoder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"cannot be read: {error!r}"]
    return [path for path in lost(model, back) if not ROW_WITHOUT_PANELS.fullmatch(path)]


def overlaps(one, other):
    a, b = one["gridPos"], other["gridPos"]
    apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not apart


def faults_of_layout(panels):
    seen = set()
    for panel in panels:
        title, place = panel.get("title") or f"panel {panel.get('id')}", panel["gridPos"]
        if panel.get("id") in seen or panel.get("id") is None:
            yield f"{title}: id {panel.get('id')} is not its own"
        seen.add(panel.get("id"))
        if place["x"] + place["w"] > 24:
            yield f"{title}: reaches past the right edge"
    for index, panel in enumerate(panels):
        for other in panels[index + 1 :]:
            if overlaps(panel, other):
                yield f"{panel['title']}: lies over {other['title']}"


def faults_of_panel(panel):
    title = panel.get("title") or f"panel {panel.get('id')}"
    if not panel.get("title"):
        yield f"{title}: has no title"
    if panel["type"] == "row":
        return
    if len(panel.get("description", "")) < 40:
        yield f"{title}: its description does not say what it means and what to do"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield f"{title}: has no unit"
    if not panel.get("targets"):
        yield f"{title}: asks nothing"
    refs = [target.get("refId") for target in panel.get("targets", [])]
    if len(set(refs)) != len(refs):
        yield f"{title}: two queries are called the same: {', '.join(map(str, refs))}"


def faults_of_queries(dashboard, known):
    variables = {variable["name"]: "1m" for variable in dashboard.variables()}
    for query in dashboard.queries():
        if query.is_sql or query.is_variable:
            continue
        try:
            promql = filled(query.text, variables | BUILT_IN)
        except Unknown as error:
            yield f"{query.title} ({query.ref}): {error}"
            continue
        yield from (f"{query.title} ({query.ref}): {fault}" for fault in names.faults(promql, known))


def faults_of_dashboard(dashboard, sources, known):
    """Everything that is wrong with one dashboard."""
    model = dashboard.model
    if json.dumps(model, indent=2, ensure_ascii=False) + "\n" != dashboard.text:
        yield "is not written with an indent of two, as json.dumps does"
    for source in sources_named(model):
        if sources.get(source.get("uid")) != source.get("type"):
            yield f"data source {source} is not provisioned"
    titles = [panel.get("title") for panel in dashboard.panels]
    for title in sorted({title for title in titles if title and titles.count(title) > 1}):
        yield f"{title}: two panels are called so"
    yield from (f"{path}: is nothing that Grafana knows" for path in round_trip(model))
    yield from faults_of_layout(dashboard.panels)
    for panel in dashboard.panels:
        yield from faults_of_panel(panel)
    yield from faults_of_queries(dashboard, known)


def faults_of_dashboards(dashboards, sources, known):
    uids = [dashboard.model.get("uid") for dashboard in dashboards]
    for dashboard in dashboards:
        for fault in faults_of_dashboard(dashboard, sources, known):
            yield f"{dashboard.name}: {fault}"
        if uids.count(dashboard.model.get("uid")) != 1:
            yield f"{dashboard.name}: uid {dashboard.model.get('uid')} is not its own"


def anchors(markdown):
    """What can be linked to in a page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ +(.+?) *$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults_of_rules(rules, known, runbook):
    """What no metric has, and alerts that do not say what is to be done."""
    there = anchors(runbook)
    for rule in rules:
        name = rule.get("record") or rule["alert"]
        yield from (f"{name}: {fault}" for fault in names.faults(rule["expr"], known))
        if "alert" not in rule:
            continue
        if rule.get("labels", {}).get("severity") not in SEVERITIES:
            yield f"{name}: its severity is none of {', '.join(sorted(SEVERITIES))}"
        said = rule.get("annotations", {})
        for key in ("summary", "description", "runbook_url"):
            if not said.get(key):
                yield f"{name}: has no {key}"
        page, _, anchor = said.get("runbook_url", "").partition("#")
        if page != RUNBOOK or anchor not in there:
            yield f"{name}: its runbook_url {said.get('runbook_url')} is no section of docs/OPERATIONS.md"


def tests_of_alerts():
    """The groups of all test files."""
    for path in sorted((ROOT / "config" / "prometheus" / "tests").glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["tests"]


def faults_of_tests(rules, tests):
    """Alerts that are not tested both firing and quiet. A case without a series that the alert looks at shows nothing."""
    firing, quiet = set(), set()
    recorded = {rule["record"]: names.used(rule["expr"]) for rule in rules if "record" in rule}
    looks_at = {}
    for rule in rules:
        if "alert" in rule:
            used = names.used(rule["expr"])
            looks_at[rule["alert"]] = used.union(*(recorded.get(name, set()) for name in used))
    for test in tests:
        series = {re.match(r"[\w:]+", one["series"])[0] for one in test.get("input_series", [])}
        for case in test.get("alert_rule_test", []):
            alert = case["alertname"]
            if alert not in looks_at:
                yield f"{test['name']}: there is no alert {alert}"
            elif case.get("exp_alerts"):
                firing.add(alert)
            elif series & looks_at[alert]:
                quiet.add(alert)
    for alert in looks_at:
        if alert not in firing:
            yield f"{alert}: no test has it firing"
        if alert not in quiet:
            yield f"{alert}: no test has it quiet"


def main():
    plugins.register_default_plugins()
    known, rules = names.known(), names.rules()
    dashboards = load()
    runbook = ROOT / "docs" / "OPERATIONS.md"
    faults = [
        *faults_of_dashboards(dashboards, provisioned(), known),
        *faults_of_rules(rules, known, runbook.read_text() if runbook.exists() else ""),
        *faults_of_tests(rules, list(tests_of_alerts())),
    ]
    for fault in faults:
        print(f"monitoring: error: {fault}", file=sys.stderr)
    queries = [query for dashboard in dashboards for query in dashboard.queries()]
    alerts = sum("alert" in rule for rule in rules)
    if faults:
        return 1
    print(f"monitoring: {len(dashboards)} dashboards, {len(queries)} queries, {alerts} alerts: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
