"""The description of the API, and what importing it costs. No server is needed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openapi_spec_validator
import pytest

import api.views
from api.problem_codes import kinds_by_code
from api.problem_shapes import Problem
from tests.openapi_snapshot import describe_api
from tests.unit.test_error_docs import rows


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return describe_api()


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
    known = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    assert set(references(document)) <= known


@pytest.mark.parametrize("kind", ["schemas", "headers", "examples"])
def test_everything_shared_is_used(document: dict[str, Any], kind: str) -> None:
    used = {reference.rpartition("/")[2] for reference in references(document) if f"/{kind}/" in reference}
    assert set(document["components"][kind]) == used


def test_the_body_of_a_job_is_the_config_with_its_defaults_optional_and_how_to_run_it(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/JobRequest"}
    schemas = document["components"]["schemas"]
    assert schemas["JobRequest"]["required"] == schemas["DistillConfig"]["required"] == ["dataset"]
    assert set(schemas["JobRequest"]["properties"]) == {*schemas["DistillConfig"]["properties"], "job"}


def test_the_description_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_every_code_that_is_documented_with_a_status_is_named_by_an_operation(document: dict[str, Any]) -> None:
    named = {
        code
        for operation in operations(document)
        for a in operation["responses"].values()
        for code in a.get("x-codes", ())
    }
    told = {code for code, row in rows().items() if row["status"] and not row["meaning"].startswith("Base of")}
    assert told - named == {"session.missing", "session.foreign_form"}  # of pages, which are not described


def test_every_answer_that_is_a_problem_names_its_codes_and_shows_each(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for answer in operation["responses"].values():
            content = answer.get("content", {}).get("application/problem+json")
            if content:
                assert set(content["examples"]) == set(answer["x-codes"])
                assert all(f"`{code}`" in answer["description"] for code in answer["x-codes"])


def test_every_example_of_a_problem_is_one(document: dict[str, Any]) -> None:
    examples = document["components"]["examples"]
    codes = kinds_by_code().keys() & examples.keys()
    assert len(codes) > 20
    for code in codes:
        example = examples[code]
        problem = Problem.model_validate(example["value"])
        assert (problem.code, problem.hint) == (code, kinds_by_code()[code].hint)


def test_every_example_of_an_answer_has_the_shape_of_the_answer(document: dict[str, Any]) -> None:
    examples = {name: one["value"] for name, one in document["components"]["examples"].items() if name[0].isupper()}
    assert len(examples) >= 6
    for name, example in examples.items():
        view = getattr(api.views, name).model_validate(example)
        assert set(view.model_dump(mode="json")) == set(example)


def test_every_answer_says_how_its_request_is_called(document: dict[str, Any]) -> None:
    answers = [answer for operation in operations(document) for answer in operation["responses"].values()]
    assert all("X-Request-ID" in answer["headers"] for answer in answers)


def test_a_new_job_leads_to_all_that_can_be_done_with_it(document: dict[str, Any]) -> None:
    links = document["paths"]["/v1/jobs"]["post"]["responses"]["202"]["links"]
    assert {"get_job", "cancel_job", "list_events", "list_artifacts"} <= set(links)
    assert links["cancel_job"]["parameters"] == {"path.job_id": "$response.body#/id"}


def test_the_page_after_is_a_link(document: dict[str, Any]) -> None:
    links = document["paths"]["/v1/jobs"]["get"]["responses"]["200"]["links"]
    assert links["next"]["parameters"] == {"query.cursor": "$response.body#/next_cursor"}


def test_every_operation_says_which_scope_it_needs(document: dict[str, Any]) -> None:
    for operation in operations(document):
        scopes = [scope for need in operation.get("security", ()) for scope in need["ApiKey"]]
        assert all(f"`{scope}`" in operation["description"] for scope in scopes)


def test_importing_the_api_loads_no_torch() -> None:
    code = "import sys, api.app, jobs.store; print({'torch', 'numpy', 'PIL', 'diffusers'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
