"""The queries of deploy/observability, taken apart by Prometheus's own grammar."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

OBSERVABILITY = Path(__file__).parents[1] / "deploy" / "observability"
OF_PROMETHEUS = frozenset({"up"})  # it makes this metric itself, with the labels of the target


@dataclass(frozen=True)
class Matcher:
    """A condition on a label: `pattern` is what its values have to match, or must not."""

    label: str
    pattern: str


@dataclass(frozen=True)
class Selected:
    """A metric that a query reads, and the labels by which it chooses or groups what it reads."""

    metric: str
    matchers: Sequence[Matcher]
    labels: frozenset[str]


@dataclass(frozen=True)
class Query:
    """A query, and the metrics that it reads."""

    where: str
    text: str
    selected: Sequence[Selected]


def alerts() -> Sequence[Mapping[str, Any]]:
    """Read the rules, which are all alerts."""
    groups = yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> Sequence[Mapping[str, Any]]:
    """Read the panels of the dashboard that show something."""
    found = json.loads((OBSERVABILITY / "dashboard.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> Sequence[Query]:
    """Take every query of the rules and of the dashboard apart.

    Raises:
        ValueError: one of them is none.
    """
    texts = [(rule["alert"], rule["expr"]) for rule in alerts()]
    texts += [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    return [parse(where, text) for where, text in texts]


def parse(where: str, text: str) -> Query:
    """Take a query apart; Grafana's own interval is any."""
    whole = promql_parser.parse(text.replace("$__rate_interval", "5m"))
    selected = _selected(whole, frozenset())
    for node in _nodes(whole):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            selected += _selected(node.expr, frozenset(node.modifier.labels))
    return Query(where, text, selected)


def shown(texts: Sequence[str]) -> dict[str, set[str]]:
    """Tell of what /metrics of several processes showed: the name of each sample, and its labels."""
    labels: dict[str, set[str]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def _pattern(matcher: Any) -> str:
    is_regex = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
    return str(matcher.value) if is_regex else re.escape(matcher.value)


def _selected(node: promql_parser.Expr, grouped: frozenset[str]) -> list[Selected]:
    """List what is read below a node, whose result is grouped by these labels."""
    found = []
    for one in _nodes(node):
        if isinstance(one, promql_parser.VectorSelector):
            matchers = [Matcher(matcher.name, _pattern(matcher)) for matcher in one.matchers.matchers]
            found.append(Selected(str(one.name), matchers, grouped | {matcher.label for matcher in matchers}))
    return found


def _nodes(node: promql_parser.Expr) -> list[promql_parser.Expr]:
    nodes: list[promql_parser.Expr] = []
    promql_parser.walk(node, nodes.append)
    return nodes
