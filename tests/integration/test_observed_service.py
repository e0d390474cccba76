"""The whole service while it works and while it fails: what it tells, and that it tells no secret.

One service runs for all tests here. It has a password for every server; users plant keys of theirs where they can.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import pytest

from cli.folder import Endpoint, Secrets, endpoint_file
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.keys import new_secret
from tests.conftest import Stack
from tests.integration.launch import launch
from tests.integration.otlp import Span, receiver
from tests.pictures import members, write_zip
from tests.promql import OF_PROMETHEUS, queries, shown
from tests.receivers import LOOPBACK, receiving

DATABASE_PASSWORD = "planted-database-password"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SMALL = {
    "images_per_class": 2,
    "prior": {"kind": "pixels", "resolution": 16},
    "students": {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8},
}


@dataclass(frozen=True)
class Observed:
    """What a service has told while it made one job, failed at another, and refused a few requests."""

    secrets: dict[str, str]
    users: dict[str, str]  # what users have sent where no secret belongs
    job_id: str
    failed: dict[str, Any]
    logs: dict[str, str]
    answers: list[str]
    rows: str
    files: dict[str, bytes]
    metrics: dict[str, str]
    spans: list[Span]
    bodies: list[bytes]

    def lines(self, process: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logs[process].splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def observed(stack: Stack) -> Iterator[Observed]:
    with (
        TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as name,
        receiver() as (url, spans, bodies),
        receiving() as listening,
    ):
        folder = Path(name)
        database = stack.create_database().replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
        variables = {
            "DDOQ_DATABASE_URL": database,
            "DDOQ_BROKER_URL": stack.broker_url,
            "DDOQ_LOG_LEVEL": "debug",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "DDOQ_PRIVATE_NETWORKS": LOOPBACK,
        }
        with launch(folder, "--root", name, **variables) as launched, launched.client() as client:
            endpoint = Endpoint.model_validate_json(endpoint_file(folder).read_text())
            key, stranger = endpoint.key_file.read_text(), new_secret()
            users = {"key": stranger, "webhook secret": WEBHOOK_SECRET, "password": "hunter-of-two"}
            header = {"Authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-{SPAN}-01"}
            uri = write_zip(folder / "data.zip", members())
            with httpx.Client(base_url=endpoint.url, headers=header) as http:
                hooks = [_listen(http, at) for at in (listening.url, "http://127.0.0.1:9/")]
                job = http.post("/v1/jobs", json={"dataset": {"uri": uri}, **SMALL}).json()
                missing = (folder / f"{stranger}-{WEBHOOK_SECRET}.zip").as_uri()
                (folder / f"{stranger}-{WEBHOOK_SECRET}.zip").write_bytes(b"no archive")
                fails = http.post("/v1/jobs", json={"dataset": {"uri": missing}, **SMALL}).json()
                refused = [
                    http.post("/v1/jobs", json={"dataset": {"uri": f"ftp://ann:{users['password']}@host/{stranger}"}}),
                    http.post("/v1/jobs", json={"dataset": {"uri": uri}, "seed": stranger, stranger: WEBHOOK_SECRET}),
                    http.get(f"/v1/jobs?state={stranger}&cursor={WEBHOOK_SECRET}"),
                    http.get("/v1/usage", headers={"Authorization": f"Bearer {stranger}"}),
                    http.get(f"/{WEBHOOK_SECRET}"),
                ]
                *_, done = client.watch(job["id"])
                assert done.status == "succeeded", done.error
                *_, _ = client.watch(fails["id"])
                _wait_for_attempts(http, hooks)
                failed = http.get(f"/v1/jobs/{fails['id']}").json()
                answers = [answer.text for answer in refused]
                answers += [http.get(f"/v1/jobs/{one}/events").text for one in (job["id"], fails["id"])]
                answers.append(json.dumps(failed["error"]))
            files = {path.name: path.read_bytes() for path in client.download(job["id"], folder / "down")}
            metrics = {name: httpx.get(at).text for name, at in endpoint.metrics.items()}
        secrets = Secrets.model_validate_json((folder / "secrets.json").read_text())
        yield Observed(
            secrets={
                "key": key,
                "pepper": secrets.key_pepper,
                "S3 secret": secrets.s3_secret_key,
                "database password": DATABASE_PASSWORD,
            },
            users=users,
            job_id=job["id"],
            failed=failed,
            logs={file.stem: file.read_text() for file in (folder / "logs").iterdir()},
            answers=answers,
            rows=_rows(database),
            files=_unpacked(files),
            metrics=metrics,
            spans=spans,
            bodies=bodies,
        )


def _listen(http: httpx.Client, url: str) -> str:
    """Add an endpoint that hears of success; answer the address of its deliveries."""
    added = http.post("/v1/webhook-endpoints", json={"url": url, "events": ["job.succeeded"]}).json()
    return f"/v1/webhook-endpoints/{added['id']}/deliveries"


def _wait_for_attempts(http: httpx.Client, deliveries: list[str]) -> None:
    for path in deliveries:
        while not any(one["attempts"] for one in http.get(path).json()["data"]):
            time.sleep(0.1)


def _rows(database: str) -> str:
    """Write out what the database keeps, without what users asked for in their own words."""
    with psycopg.connect(database) as connection:
        tables = ("jobs", "units", "events", "artifacts", "figures", "api_keys", "workers")
        kept = [connection.execute(f"SELECT to_jsonb(t) - 'config' FROM {table} t").fetchall() for table in tables]
    return str(kept)


def _unpacked(files: dict[str, bytes]) -> dict[str, bytes]:
    unpacked = dict(files)
    for name, content in files.items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                unpacked |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
    return unpacked


def test_no_secret_of_the_service_is_told_anywhere(observed: Observed) -> None:
    told = {
        **{f"log of {process}": text.encode() for process, text in observed.logs.items()},
        **{f"metrics of {process}": text.encode() for process, text in observed.metrics.items()},
        **{f"answer {number}": text.encode() for number, text in enumerate(observed.answers)},
        **{f"trace {number}": body for number, body in enumerate(observed.bodies)},
        **observed.files,
        "database": observed.rows.encode(),
    }
    leaks = [
        f"{secret} in {place}"
        for place, text in told.items()
        for secret, value in observed.secrets.items()
        if value.encode() in text
    ]
    assert leaks == []


def test_what_users_put_where_no_secret_belongs_is_not_passed_on(observed: Observed) -> None:
    told = {
        **{f"log of {process}": text for process, text in observed.logs.items()},
        **{f"metrics of {process}": text for process, text in observed.metrics.items()},
        **{f"answer {number}": text for number, text in enumerate(observed.answers)},
        "database": observed.rows,
    }
    leaks = [
        f"{secret} in {place}"
        for place, text in told.items()
        for secret, value in observed.users.items()
        if value in text
    ]
    assert leaks == []


def test_a_failure_is_told_without_the_secret_that_it_is_about(observed: Observed) -> None:
    assert observed.failed["status"] == "failed"
    assert "ddoq_[redacted]-whsec_[redacted]" in observed.failed["error"]["message"]


def test_every_line_of_the_api_and_of_a_worker_is_json(observed: Observed) -> None:
    for process in ("api", "worker-1"):
        others = [line for line in observed.logs[process].splitlines() if line and not line.startswith("{")]
        assert [line for line in others if "worker: Warm shutdown" not in line] == []


def test_a_request_is_logged_with_its_id_route_and_caller(observed: Observed) -> None:
    (told,) = [line for line in observed.lines("api") if line.get("route") == "/v1/usage"]
    assert (told["status"], told["code"]) == (401, "auth.invalid_key")
    submitted = [line for line in observed.lines("api") if line.get("status") == 202]
    assert {(line["method"], line["route"], line["owner"]) for line in submitted} == {("POST", "/v1/jobs", "local")}
    assert all(line["request_id"].startswith("req_") for line in submitted)


def test_a_worker_says_in_each_line_what_it_works_on(observed: Observed) -> None:
    begun = [line for line in observed.lines("worker-1") if line.get("job_id") == observed.job_id]
    assert {Stage(line["stage"]) for line in begun} == set(_stages())
    assert all(line["attempt"] == 1 and line["unit_id"] and line["worker"] for line in begun)


def test_a_worker_shows_what_it_has_done(observed: Observed) -> None:
    shown = observed.metrics["worker-1"]
    assert 'ddoq_worker_units_total{outcome="done",stage="package"} 1.0' in shown
    assert 'ddoq_worker_units_total{outcome="failed",stage="read"} 1.0' in shown


def test_the_api_shows_what_it_was_asked_and_what_the_database_knows(observed: Observed) -> None:
    shown = observed.metrics["api"]
    assert 'ddoq_http_requests_total{method="POST",route="/v1/jobs",status="2xx"} 2.0' in shown
    assert 'ddoq_jobs_ended_last_hour{state="succeeded"} 1.0' in shown


def test_every_metric_of_a_rule_or_a_panel_is_one_that_the_service_shows(observed: Observed) -> None:
    labels = shown([*observed.metrics.values()])
    for query in queries():
        read = {selected.metric for selected in query.selected} - OF_PROMETHEUS
        assert read <= set(labels), query.where


def test_every_label_of_a_rule_or_a_panel_is_one_that_its_metric_has(observed: Observed) -> None:
    labels = shown([*observed.metrics.values()])
    for query in queries():
        for selected in query.selected:
            if selected.metric not in OF_PROMETHEUS:
                assert selected.labels <= labels[selected.metric], (query.where, selected.metric)


def test_each_unit_is_a_step_below_the_request_that_asked_for_it(observed: Observed) -> None:
    submissions = [span for span in observed.spans if span.name == "POST /v1/jobs" and span.trace_id == TRACE]
    assert {span.parent_id for span in submissions} == {SPAN}
    units = [span for span in observed.spans if span.attributes.get("ddoq.job_id") == observed.job_id]
    assert {Stage(span.attributes["ddoq.stage"]) for span in units} == set(_stages())
    assert {span.trace_id for span in units} == {TRACE}
    assert {span.parent_id for span in units} <= {span.span_id for span in submissions}
    assert {span.service for span in observed.spans} == {"ddoq-api", "ddoq-worker", "ddoq-deliveries"}


def test_each_attempt_at_a_webhook_is_a_step_below_the_request_that_asked_for_the_job(observed: Observed) -> None:
    submissions = {span.span_id for span in observed.spans if span.name == "POST /v1/jobs"}
    attempts = [span for span in observed.spans if span.name == "deliver job.succeeded"]
    assert {span.trace_id for span in attempts} == {TRACE}
    assert {span.parent_id for span in attempts} <= submissions
    outcomes = {(span.attributes["ddoq.outcome"], span.attributes.get("error.type")) for span in attempts}
    assert outcomes == {("accepted", None), ("unanswered", "unanswered")}


def test_a_step_that_failed_says_so(observed: Observed) -> None:
    (failed,) = [span for span in observed.spans if span.attributes.get("ddoq.job_id") == observed.failed["id"]]
    assert failed.attributes["error.type"] == "failed"


def _stages() -> tuple[Stage, ...]:
    return DistillConfig.model_validate({"dataset": {"uri": "file:///a"}, **SMALL}).stages
