"""deploy/observability: rules, dashboard and what is scraped. Metrics are compared with a live service in
tests/integration/test_observed_service.py."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from api.app import create_app
from api.metrics import METHODS
from ddoq.events import Stage
from jobs.records import JobState, UnitState, UploadState
from jobs.settings import Settings
from tests.manifests import AS_WRITTEN, of_kind
from tests.promql import OBSERVABILITY, Matcher, Query, alerts, panels, parse, queries
from worker.counts import Outcome
from worker.deliveries import OUTCOMES

DOCS = Path(__file__).parents[2] / "docs"
COMPOSE = OBSERVABILITY.parent / "compose.yaml"
SEVERITIES = {"critical", "warning"}


@pytest.fixture(scope="module")
def values() -> Mapping[str, set[str]]:
    """What the labels may say."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    app = create_app(
        Settings(
            database_url=nowhere,
            broker_url="redis://127.0.0.1:1/0",
            s3_bucket="bucket",
            s3_access_key="access",
            s3_secret_key="secret",
            key_pepper="a pepper for the tests",
        )
    )
    app.state.services.engine.dispose()
    codes = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    return {
        "code": set(codes),
        "job": {"ddoq-api", "ddoq-worker", "ddoq-deliveries"},
        "method": set(METHODS),
        "outcome": {*Outcome, *OUTCOMES},
        "route": {"other", *app.openapi()["paths"]},
        "stage": set(Stage),
        "state": {*JobState, *UnitState, *UploadState},
        "status": {"2xx", "3xx", "4xx", "5xx"},
    }


def matched(matcher: Matcher, values: Mapping[str, set[str]]) -> set[str]:
    return {value for value in values[matcher.label] if re.fullmatch(matcher.pattern, value)}


def test_every_query_can_be_parsed_and_reads_a_metric() -> None:
    found = queries()
    assert len(found) > len(alerts())
    assert [query.where for query in found if not query.selected] == []


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        parse("a typing error", "sum(rate(ddoq_sweeps_total[5m])")


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.where)
def test_every_condition_on_a_label_is_one_that_can_hold(query: Query, values: Mapping[str, set[str]]) -> None:
    for selected in query.selected:
        for matcher in selected.matchers:
            alternatives = matcher.pattern.split("|") if "(" not in matcher.pattern else [matcher.pattern]
            assert all(matched(Matcher(matcher.label, one), values) for one in alternatives), matcher


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(rule: Mapping[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    sentence, _, anchor = rule["annotations"]["runbook"].partition("docs/operations.md#")
    assert len(sentence.split()) > 4
    assert f"\n### {rule['alert']}\n" in (DOCS / "operations.md").read_text()
    assert anchor == str(rule["alert"]).lower()


def test_every_alert_that_is_explained_exists() -> None:
    explained = re.findall(r"^### (Ddoq\w+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert explained == [rule["alert"] for rule in alerts()]


def test_the_panels_are_told_apart_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    covered: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & covered
        assert at["x"] + at["w"] <= 24
        covered |= cells


def test_every_process_of_the_compose_file_is_scraped_at_its_port() -> None:
    jobs = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {name: at["port"] for job in jobs for at in job["dns_sd_configs"] for name in at["names"]}
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    lasting = {name: service for name, service in services.items() if service.get("init")}
    assert targets == {name: int(one["environment"]["DDOQ_METRICS_PORT"]) for name, one in lasting.items()}


def test_every_pod_of_a_deployment_is_scraped_under_the_name_of_its_job(values: Mapping[str, set[str]]) -> None:
    (job,) = yaml.safe_load((OBSERVABILITY / "prometheus-kubernetes.yaml").read_text())["scrape_configs"]
    kept, named, _ = job["relabel_configs"]
    assert (kept["regex"], named["replacement"]) == ("metrics", "ddoq-$1")
    components = set()
    for deployment in of_kind(AS_WRITTEN, "Deployment").values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert kept["regex"] in {port["name"] for port in container["ports"]}
        components.add(deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"])
    assert {f"ddoq-{component}" for component in components} == values["job"]


@pytest.mark.parametrize("file", ["prometheus.yaml", "prometheus-kubernetes.yaml"])
def test_the_rules_are_read(file: str) -> None:
    (rules,) = yaml.safe_load((OBSERVABILITY / file).read_text())["rule_files"]
    assert (OBSERVABILITY / rules).is_file()
