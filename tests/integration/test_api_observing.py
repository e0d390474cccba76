"""What is told of a request: in the log and in metrics."""

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import create_engine, func, select
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Services
from jobs.logs import FIELDS
from jobs.metrics import DatabaseMetrics
from jobs.records import Claim
from jobs.settings import Settings
from jobs.sweep import SWEEPING

Headers = dict[str, str]


@pytest.fixture
def answers(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What the log says of requests."""
    told: list[dict[str, Any]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(getattr(record, FIELDS))

    log, listener = logging.getLogger("api.observing"), Listener()
    log.addHandler(listener)
    with caplog.at_level(logging.INFO, "api.observing"):
        yield told
    log.removeHandler(listener)


def value(app: FastAPI, name: str, **labels: str) -> float | None:
    found: float | None = app.state.metrics.registry.get_sample_value(name, labels)
    return found


def test_a_line_tells_of_a_request_by_its_route(
    client: TestClient, ann: Headers, job_id: str, answers: list[dict[str, Any]]
) -> None:
    answer = client.get(f"/v1/jobs/{job_id}?secret=hidden", headers={**ann, "User-Agent": "hidden"})
    told = answers[-1]
    assert (told["method"], told["route"], told["status"]) == ("GET", "/v1/jobs/{job_id}", 200)
    assert (told["owner"], told["bytes"]) == ("ann", len(answer.content))
    assert told["key_id"].startswith("key_")
    assert "hidden" not in json.dumps(told)


def test_a_line_tells_the_code_of_a_problem(client: TestClient, answers: list[dict[str, Any]]) -> None:
    client.get("/nowhere/hidden")
    assert (answers[-1]["route"], answers[-1]["status"], answers[-1]["code"]) == ("other", 404, "request.path")


def test_probes_are_logged_only_for_who_looks_for_them(client: TestClient, answers: list[dict[str, Any]]) -> None:
    client.get("/healthz")
    assert answers == []


def test_requests_are_counted_by_route_and_problems_by_code(app: FastAPI, client: TestClient, ann: Headers) -> None:
    for _ in range(2):
        client.get("/v1/jobs/job_00000000000000000000000000", headers=ann)
    client.get("/v1/jobs")
    of_route = {"method": "GET", "route": "/v1/jobs/{job_id}"}
    assert value(app, "ddoq_http_requests_total", **of_route, status="4xx") == 2
    assert value(app, "ddoq_http_request_duration_seconds_count", **of_route) == 2
    assert value(app, "ddoq_http_problems_total", code="job.not_found") == 2
    assert value(app, "ddoq_http_problems_total", code="auth.missing_key") == 1
    assert value(app, "ddoq_http_requests_in_flight") == 0


def test_a_method_that_nobody_knows_makes_no_new_series(app: FastAPI, client: TestClient) -> None:
    client.request("BREW", "/v1/jobs")
    assert value(app, "ddoq_http_requests_total", method="other", route="/v1/jobs", status="4xx") or value(
        app, "ddoq_http_requests_total", method="other", route="other", status="4xx"
    )


def test_an_answer_that_breaks_off_is_counted_as_ours(app: FastAPI, answers: list[dict[str, Any]]) -> None:
    def break_off() -> None:
        raise RuntimeError("nobody foresaw this")

    app.add_api_route("/broken", break_off)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.get("/broken")
    assert value(app, "ddoq_http_requests_total", method="GET", route="/broken", status="5xx") == 1
    assert answers[-1]["status"] == 500


def test_the_database_tells_what_waits_and_what_is_run(app: FastAPI, claim: Claim, services: Services) -> None:
    services.store.submit("ann", claim.config)
    assert value(app, "ddoq_jobs", state="running") == 1
    assert value(app, "ddoq_jobs", state="queued") == 1
    assert value(app, "ddoq_units", stage="read", state="running") == 1
    assert value(app, "ddoq_units", stage="read", state="ready") == 1
    assert (value(app, "ddoq_oldest_queued_seconds") or 0) > 0
    assert value(app, "ddoq_database_up") == 1


def test_a_database_that_is_away_is_told_of_and_hides_no_other_metric() -> None:
    registry = CollectorRegistry()
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    registry.register(DatabaseMetrics(engine))
    assert registry.get_sample_value("ddoq_database_up") == 0
    engine.dispose()


def test_a_sweep_is_counted_by_the_process_that_was_elected_for_it(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"sweep_seconds": 0.05}))
    with TestClient(app):
        while not value(app, "ddoq_sweeps_total"):
            time.sleep(0.01)
        with app.state.services.engine.begin() as election:
            election.execute(select(func.pg_advisory_xact_lock(SWEEPING)))
            before = value(app, "ddoq_sweeps_total")
            time.sleep(0.5)  # of ten turns none is an election
            assert value(app, "ddoq_sweeps_total") == before


def test_metrics_are_not_on_the_public_port(client: TestClient) -> None:
    assert client.get("/metrics").status_code == 404


def test_no_owner_and_no_job_is_a_label(app: FastAPI, client: TestClient, ann: Headers, job_id: str) -> None:
    client.get(f"/v1/jobs/{job_id}", headers=ann)
    shown = generate_latest(app.state.metrics.registry).decode()
    assert "ann" not in shown.replace("cancel", "")
    assert job_id not in shown


def test_two_applications_in_one_process_count_apart(services: Services, app: FastAPI) -> None:
    with TestClient(create_app(services.settings)) as other:
        other.get("/healthz")
    assert value(app, "ddoq_http_requests_total", method="GET", route="/healthz", status="2xx") is None
