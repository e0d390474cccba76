"""docs/observability.md and docs/keys.md against the code."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from sqlalchemy import create_engine

from api.metrics import ApiMetrics
from jobs.keys import Scope
from jobs.metrics import DATABASE_METRICS
from jobs.settings import Settings
from worker.counts import Counts, Outcome
from worker.deliveries import make_counter

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(ddoq_\w+)` \| (\w+) \| ([^|]*)\| (\w+) \|", re.MULTILINE)


def shown(metric: Metric) -> tuple[str, str]:
    return (f"{metric.name}_total" if metric.type == "counter" else metric.name, metric.type)


def test_every_metric_is_documented_with_its_kind_and_there_is_no_other() -> None:
    registry = CollectorRegistry()
    registry.register(Counts())
    make_counter(registry)
    api = ApiMetrics(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")).registry
    served = {shown(metric) for metric in (*registry.collect(), *api.collect())}
    served |= {(name, "gauge") for name in DATABASE_METRICS}
    documented = {(name, kind) for name, kind, _, _ in ROW.findall((DOCS / "observability.md").read_text())}
    assert documented == served


def test_the_labels_of_what_the_database_knows_are_documented() -> None:
    rows = {
        name: tuple(re.findall(r"`(\w+)`", labels))
        for name, _, labels, _ in ROW.findall((DOCS / "observability.md").read_text())
    }
    assert {name: rows[name] for name in DATABASE_METRICS} == DATABASE_METRICS


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_of_a_unit_is_documented(outcome: Outcome) -> None:
    assert f"`{outcome}`" in (DOCS / "observability.md").read_text()


@pytest.mark.parametrize("scope", Scope)
def test_every_scope_is_documented(scope: Scope) -> None:
    assert f"| `{scope}` |" in (DOCS / "keys.md").read_text()


@pytest.mark.parametrize("name", ["reads_per_minute", "writes_per_minute", "failed_logins_per_minute"])
def test_a_documented_rate_is_the_default(name: str) -> None:
    assert f"| `DDOQ_{name.upper()}` | {Settings.model_fields[name].default} |" in (DOCS / "keys.md").read_text()
