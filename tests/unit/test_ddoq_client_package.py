"""The Python client as a package: light, whole in both forms, and of the service's own shapes."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ddoq_client
from ddoq_client import (
    AsyncClient,
    AsyncJob,
    Client,
    ConfigError,
    Event,
    Job,
    JobFailedError,
    NotConfiguredError,
    account_views,
    views,
)
from ddoq_client.errors import Fault, Problem
from ddoq_client.jobs import body_of, job_options
from ddoq_client.views import JobView, View

ROOT = Path(__file__).parents[2]
SCHEMAS = json.loads((ROOT / "docs" / "openapi.json").read_text())["components"]["schemas"]
SHAPES: dict[type, str] = {
    Fault: "FaultView",
    Problem: "Problem",
    JobView: "JobView",
    views.StageProgress: "StageView",
    views.UnitCounts: "UnitCounts",
    views.Failure: "FailureView",
    Event: "EventView",
    views.Artifact: "ArtifactView",
    views.Part: "PartView",
    views.Upload: "UploadWithParts",
    views.Plan: "PlanView",
    views.DatasetFound: "DatasetView",
    views.ClassCounts: "ClassView",
    views.Budget: "BudgetView",
    views.Estimate: "EstimateView",
    views.StagePlan: "StagePlanView",
    account_views.Key: "KeyView",
    account_views.CreatedKey: "CreatedKey",
    account_views.Me: "MeView",
    account_views.Worker: "WorkerView",
    account_views.Method: "MethodView",
    account_views.Kind: "KindView",
    account_views.Network: "NetworkView",
    account_views.Models: "ModelList",
    account_views.Use: "Use",
    account_views.Limits: "LimitsView",
    account_views.Day: "DayView",
    account_views.Quota: "QuotaView",
    account_views.Usage: "UsageView",
    account_views.Webhook: "EndpointView",
    account_views.WebhookWithSecret: "EndpointWithSecret",
    account_views.DeliveryAttempt: "AttemptView",
    account_views.Delivery: "DeliveryView",
}
OWN = {views.Progress}  # told in streams, which have no schema
JOB = {"id": "job_1", "status": "succeeded", "stage": "package", "created_at": "2026-01-01T00:00:00Z"}


def imported(file: Path) -> set[str]:
    """Name the packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def public(kind: type) -> dict[str, inspect.Signature]:
    own = vars(kind).items()
    return {name: inspect.signature(value) for name, value in own if inspect.isfunction(value) and name[0] != "_"}


def test_it_imports_nothing_but_the_standard_library_httpx_and_pydantic() -> None:
    files = list((ROOT / "ddoq_client").rglob("*.py"))
    needed = set().union(*map(imported, files)) - set(sys.stdlib_module_names)
    assert needed == {"ddoq_client", "httpx", "pydantic"}


def test_importing_it_loads_nothing_of_the_service() -> None:
    heavy = {"torch", "numpy", "PIL", "sqlalchemy", "celery", "ddoq", "jobs", "api", "cli", "worker"}
    code = f"import sys, ddoq_client; print(*sorted({heavy!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == ""


def test_its_types_are_there_for_others() -> None:
    assert (Path(ddoq_client.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Job, AsyncJob)])
def test_both_forms_have_the_same_calls(one: type, other: type) -> None:
    assert {name: list(call.parameters.values()) for name, call in public(one).items()} == {
        name: list(call.parameters.values()) for name, call in public(other).items()
    }


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_every_field_is_one_that_the_service_has(kind: type) -> None:
    schema = SCHEMAS[SHAPES[kind]]
    fields = kind.model_fields  # type: ignore[attr-defined]
    assert set(fields) <= set(schema["properties"])
    assert {name for name, field in fields.items() if field.is_required()} <= set(schema["required"])


def test_every_view_has_a_shape() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {kind for kind in below(View) if kind.__module__.startswith("ddoq_client")}
    assert ours - {View, Job, AsyncJob} - OWN == set(SHAPES) - {Fault, Problem}


def test_what_a_newer_service_adds_is_ignored() -> None:
    assert JobView.model_validate({**JOB, "colour": "red", "status": "resting"}).status == "resting"


def test_a_job_that_succeeded_has_not_failed() -> None:
    JobView.model_validate(JOB).raise_for_failure()
    JobView.model_validate({**JOB, "status": "running"}).raise_for_failure()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"status": "cancelled"}, r"^job\.cancelled: job job_1 was cancelled$"),
        (
            {"status": "failed", "error": {"code": "dataset.damaged", "message": "it breaks off"}},
            r"^dataset\.damaged: it",
        ),
    ],
)
def test_a_job_that_did_not_succeed_says_why(told: dict[str, object], sentence: str) -> None:
    with pytest.raises(JobFailedError, match=sentence):
        JobView.model_validate({**JOB, **told}).raise_for_failure()


def test_a_config_may_be_a_mapping_a_model_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"stage": "read", "done": 1, "total": 2}')
    model = views.Progress(stage="read", done=1, total=2)
    same = [body_of(config) for config in (dict(model), model, tmp_path / "config.json", str(tmp_path / "config.json"))]
    assert same == [{"stage": "read", "done": 1, "total": 2}] * 4


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.json is not"):
        body_of(tmp_path / "config.json")


def test_only_what_was_said_of_a_job_is_sent() -> None:
    assert job_options(None, None, None, None) == {}
    assert job_options("high", {"team": "a"}, None, 90) == {
        "priority": "high",
        "labels": {"team": "a"},
        "timeout_s": 90,
    }


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_URL", "http://127.0.0.1:9")
    with pytest.raises(NotConfiguredError, match="DDOQ_API_KEY"):
        Client(key="")
    monkeypatch.setenv("DDOQ_API_KEY", "ddoq_key\n")
    Client().close()


@pytest.mark.parametrize(("url", "key"), [("ftp://host", "k"), ("host:8000", "k"), ("https://host", "k\u00e9y")])
def test_what_cannot_be_a_service_or_a_key_is_refused(url: str, key: str) -> None:
    with pytest.raises(NotConfiguredError):
        Client(url, key)
