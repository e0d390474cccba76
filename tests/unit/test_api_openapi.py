"""The description of the API, and what importing it costs. No server is needed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import create_app
from jobs.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = Settings(
        database_url="postgresql://nowhere/nothing",
        broker_url="redis://nowhere",
        s3_bucket="nothing",
        s3_access_key="nobody",
        s3_secret_key="secret",
        key_pepper="a pepper of sixteen",
    )
    return create_app(settings).openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document)]
    assert sorted(set(names)) == sorted(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)


@pytest.mark.parametrize("part", ["summary", "description", "tags"])
def test_every_operation_says_what_it_does(document: dict[str, Any], part: str) -> None:
    assert [o["operationId"] for o in operations(document) if not o.get(part)] == []


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    used = {tag for operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"] if tag["description"]}


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    wrong = {
        (operation["operationId"], status)
        for operation in operations(document)
        for status, response in operation["responses"].items()
        if status >= "400" and set(response["content"]) != {"application/problem+json"}
    }
    assert wrong == set()


def test_every_operation_with_a_key_says_how_it_is_refused(document: dict[str, Any]) -> None:
    wrong = [
        o["operationId"] for o in operations(document) if "security" in o and not {"401", "403"} <= set(o["responses"])
    ]
    assert wrong == []


def test_every_answer_in_json_has_a_shape(document: dict[str, Any]) -> None:
    wrong = [
        operation["operationId"]
        for operation in operations(document)
        for response in operation["responses"].values()
        if "application/json" in response.get("content", {})
        and "$ref" not in response["content"]["application/json"]["schema"]
    ]
    assert wrong == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_every_shape_is_used(document: dict[str, Any]) -> None:
    used = {reference.rpartition("/")[2] for reference in references(document)}
    assert set(document["components"]["schemas"]) == used


def test_the_body_of_a_job_is_the_config_with_its_defaults_optional_and_how_to_run_it(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/JobRequest"}
    schemas = document["components"]["schemas"]
    assert schemas["JobRequest"]["required"] == schemas["DistillConfig"]["required"] == ["dataset"]
    assert set(schemas["JobRequest"]["properties"]) == {*schemas["DistillConfig"]["properties"], "job"}


def test_importing_the_api_loads_no_torch() -> None:
    code = "import sys, api.app, jobs.store; print({'torch', 'numpy', 'PIL', 'diffusers'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
