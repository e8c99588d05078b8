"""The dashboards in grafana/dashboards, their panels and queries, and what Grafana puts in a query's variables' place."""

import json
import pathlib
import re
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana" / "dashboards"

VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")


class Unknown(Exception):
    """A variable or macro that nobody gave a meaning."""


@dataclass
class Query:
    """One query of a panel or a variable."""

    dashboard: str
    title: str
    ref: str
    datasource: dict
    text: str
    is_instant: bool = False
    # Like a panel's, but to fill a list to choose from.
    is_variable: bool = False

    @property
    def is_sql(self):
        return self.datasource.get("uid") == "postgres"

    @property
    def panel(self):
        return f"{self.dashboard} / {self.title}"

    def __str__(self):
        return f"{self.panel} ({self.ref})"


@dataclass
class Dashboard:
    """One file."""

    name: str
    text: str
    model: dict
    panels: list = field(default_factory=list)

    def queries(self):
        """Those of all panels, then those of the variables."""
        found = []
        for panel in self.panels:
            for target in panel.get("targets", []):
                text = target.get("rawSql") if "rawSql" in target else target.get("expr", "")
                source = target.get("datasource") or panel.get("datasource") or {}
                instant = target.get("instant", False)
                found.append(Query(self.name, panel["title"], target["refId"], source, text, instant))
        for variable in self.variables():
            if variable["type"] == "query":
                text = variable["query"]
                text = text["query"] if isinstance(text, dict) else text
                title = f"variable {variable['name']}"
                query = Query(self.name, title, "-", variable["datasource"], text, True, True)
                found.append(query)
        return found

    def variables(self):
        return self.model["templating"]["list"]


def flat(panels):
    """All panels, those of collapsed rows included."""
    for panel in panels:
        yield panel
        yield from flat(panel.get("panels", []))


def parsed(name, text):
    model = json.loads(text)
    return Dashboard(name, text, model, list(flat(model["panels"])))


def load(folder=FOLDER):
    """All dashboards, by name of file."""
    return [parsed(path.stem, path.read_text()) for path in sorted(folder.glob("*.json"))]


def filled(text, values):
    """Puts values in the place of `$name` and `${name}`."""

    def value(match):
        name = match[1] or match[2]
        if name not in values:
            raise Unknown(f"${name} is neither a variable of the dashboard nor one of Grafana's that this check knows")
        return str(values[name])

    return VARIABLE.sub(value, text)


# Macros of Grafana's PostgreSQL data source, as in its documentation. Arguments hold no parentheses in these dashboards.
MACRO = re.compile(r"\$__(timeFilter|timeGroupAlias|timeGroup|timeFrom|timeTo)\(([^()]*)\)")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration):
    """Of `5m` or `15s`."""
    match = re.fullmatch(r"(\d+)([smhd])", duration.strip(" '"))
    if not match:
        raise Unknown(f"{duration!r} is no duration such as 5m")
    return int(match[1]) * UNITS[match[2]]


def sql(text, values, begin, end):
    """SQL as the server gets it, for a time range of two RFC 3339 timestamps."""

    def macro(match):
        name, arguments = match[1], [argument.strip() for argument in match[2].split(",")]
        if name == "timeFrom":
            return f"'{begin}'"
        if name == "timeTo":
            return f"'{end}'"
        column = arguments[0]
        if name == "timeFilter":
            return f"{column} BETWEEN '{begin}' AND '{end}'"
        step = seconds(filled(arguments[1], values))
        group = f"floor(extract(epoch FROM {column}) / {step}) * {step}"
        return group + (' AS "time"' if name == "timeGroupAlias" else "")

    return filled(MACRO.sub(macro, text), values)
