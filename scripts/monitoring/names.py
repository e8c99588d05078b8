"""Which metrics there are, and their labels: those of docs/METRICS.md, recording rules, and Prometheus' own."""

import re

import promql_parser
import yaml

from dashboards import ROOT

DOCUMENTED = ROOT / "docs" / "METRICS.md"
RULES = ROOT / "config" / "prometheus" / "rules"

# A line of the table in docs/METRICS.md: name, type, labels.
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
# Of a process, which are listed in a sentence.
OF_PROCESS = re.compile(r"`(process_\w+)`")
# What every series of a scrape has.
OF_SCRAPES = {"job", "instance"}
# Made by Prometheus itself. ALERTS has the labels of any alert.
OF_PROMETHEUS = {"up": set(), "ALERTS": None}


def rule_groups(folder=RULES):
    """The groups of all rule files."""
    for path in sorted(folder.glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["groups"]


def rules():
    return [rule for group in rule_groups() for rule in group["rules"]]


def documented(text):
    """The labels of each series that docs/METRICS.md documents; a histogram is three."""
    found = {name: set() for name in OF_PROCESS.findall(text)}
    for name, kind, labels in ROW.findall(text):
        labels = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            found[f"{name}_bucket"] = labels | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = labels
        else:
            found[name] = labels
    return found


def known():
    """The labels of each series that a query may use; None where they may be any."""
    recorded = {rule["record"]: None for rule in rules() if "record" in rule}
    return documented(DOCUMENTED.read_text()) | recorded | OF_PROMETHEUS


def selectors(expression):
    """The selectors in a parsed query, and the labels that it groups by."""
    found, grouped = [], set()

    def see(node):
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            found.append(selector)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            grouped.update(node.modifier.labels)

    promql_parser.walk(expression, see)
    return found, grouped


def used(promql):
    """Names of the series in a query.

    Raises ValueError where it is no PromQL."""
    found, _ = selectors(promql_parser.parse(promql))
    return {selector.name for selector in found}


def faults(promql, known):
    """What a query names that is not there: series, their labels, labels to group by."""
    try:
        found, grouped = selectors(promql_parser.parse(promql))
    except ValueError as error:
        yield str(error)
        return
    there = set(OF_SCRAPES)
    for selector in found:
        if selector.name not in known:
            yield f"there is no metric {selector.name or 'in a selector without a name'}"
            continue
        labels = known[selector.name]
        if labels is None:
            grouped = set()
            continue
        there |= labels
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels | OF_SCRAPES:
                yield f"{selector.name} has no label {matcher.name}"
    for label in sorted(grouped - there):
        yield f"nothing in it has a label {label} to group by"
