"""Which metrics there are: those that docs/METRICS.md documents, recording rules, and Prometheus' own."""

import re

import promql_parser
import yaml

from dashboards import ROOT

DOCUMENTED = ROOT / "docs" / "METRICS.md"
UNTIL_THEN = ROOT / "scripts" / "monitoring" / "metrics.txt"
RULES = ROOT / "config" / "prometheus" / "rules"

# Made by Prometheus itself.
OF_PROMETHEUS = {"up", "ALERTS"}
# Where docs/METRICS.md lists hitstream's own alone: what the client library says of its process.
OF_PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
}
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def rule_groups(folder=RULES):
    """The groups of all rule files."""
    for path in sorted(folder.glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["groups"]


def rules(folder=RULES):
    return [rule for group in rule_groups(folder) for rule in group["rules"]]


def documented():
    """Names of metrics that hitstream itself has."""
    if DOCUMENTED.exists():
        return set(re.findall(r"`((?:hitstream|process)_[a-z0-9_]+)", DOCUMENTED.read_text()))
    return {line for line in UNTIL_THEN.read_text().splitlines() if not line.startswith("#")}


def is_known(name, known):
    bases = [name[: -len(suffix)] for suffix in OF_HISTOGRAMS if name.endswith(suffix)]
    return name in known or any(base in known for base in bases)


def known():
    """All names that a query may use."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return documented() | recorded | OF_PROMETHEUS | OF_PROCESS


def used(promql):
    """Names of metrics in a query.

    Raises ValueError where it is no PromQL."""
    names = set()

    def see(node):
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            names.add(selector.name or "(a selector without a metric's name)")

    promql_parser.walk(promql_parser.parse(promql), see)
    return names
