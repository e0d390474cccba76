"""The rule that a breaking change of the API fails, and the comparison that it stands on."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.openapi_changes import breaking_changes
from tests.openapi_snapshot import PROMISED, TODAY, describe_api, write

Document = dict[str, Any]


def field(**properties: Any) -> Document:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


BODY = field(
    uri={"type": "string", "maxLength": 9},
    count={"type": "integer", "minimum": 1, "maximum": 9},
    mode={"enum": ["a", "b"], "type": "string"},
    size={"anyOf": [{"type": "integer"}, {"type": "null"}]},
    prior={"oneOf": [field(kind={"const": "vae"}), field(kind={"const": "dit"})]},
    inner={"$ref": "#/components/schemas/Node"},
)
API: Document = {
    "paths": {
        "/things": {
            "post": {
                "operationId": "make",
                "security": [{"ApiKey": ["write"]}],
                "parameters": [{"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 9}}],
                "requestBody": {"required": True, "content": {"application/json": {"schema": BODY}}},
                "responses": {
                    "200": {
                        "headers": {"ETag": {}},
                        "links": {"next": {}},
                        "content": {"application/json": {"schema": deepcopy(BODY)}},
                    }
                },
            }
        }
    },
    "components": {"schemas": {"Node": {**field(child={"$ref": "#/components/schemas/Node"}), "required": []}}},
}


def operation(document: Document) -> Document:
    return document["paths"]["/things"]["post"]


def sent(document: Document) -> Document:
    return operation(document)["requestBody"]["content"]["application/json"]["schema"]


def received(document: Document) -> Document:
    return operation(document)["responses"]["200"]["content"]["application/json"]["schema"]


def fields(schema: Document) -> Document:
    return schema["properties"]


BREAKS: dict[str, Callable[[Document], object]] = {
    "POST /things: is gone": lambda d: d["paths"].clear(),
    "POST /things: is called 'create' instead of 'make'": lambda d: operation(d).update(operationId="create"),
    "POST /things: needs more: ['ApiKey admin']": lambda d: operation(d)["security"][0]["ApiKey"].append("admin"),
    "POST /things query limit: is no longer read": lambda d: operation(d)["parameters"].clear(),
    "POST /things query limit: must be sent now": lambda d: operation(d)["parameters"][0].update(required=True),
    "POST /things query limit: maximum is 8, was 9": lambda d: operation(d)["parameters"][0]["schema"].update(
        maximum=8
    ),
    "POST /things body application/json: needs 'more' now": lambda d: sent(d)["required"].append("more"),
    "POST /things body application/json .uri: is gone": lambda d: fields(sent(d)).pop("uri"),
    "POST /things body application/json .uri: maxLength is 8, was 9": lambda d: fields(sent(d))["uri"].update(
        maxLength=8
    ),
    "POST /things body application/json .uri: has another pattern": lambda d: fields(sent(d))["uri"].update(
        pattern="^s"
    ),
    "POST /things body application/json .mode: no longer takes [\"'b'\"]": lambda d: fields(sent(d))["mode"].update(
        enum=["a"]
    ),
    "POST /things body application/json .size: may no longer be null": lambda d: fields(sent(d))["size"]["anyOf"].pop(),
    "POST /things body application/json .prior: may no longer be object of kind 'dit'": lambda d: fields(sent(d))[
        "prior"
    ]["oneOf"].pop(),
    "POST /things body application/json: is gone": lambda d: operation(d)["requestBody"]["content"].clear(),
    "POST /things 200: is no longer answered": lambda d: operation(d)["responses"].clear(),
    "POST /things 200: lost 'ETag' of its headers": lambda d: operation(d)["responses"]["200"]["headers"].clear(),
    "POST /things 200: lost 'next' of its links": lambda d: operation(d)["responses"]["200"]["links"].clear(),
    "POST /things 200 application/json .uri: is gone": lambda d: fields(received(d)).pop("uri"),
    "POST /things 200 application/json .uri: may be missing now": lambda d: received(d)["required"].remove("uri"),
    "POST /things 200 application/json .uri: has the format 'date' instead of None": lambda d: fields(received(d))[
        "uri"
    ].update(format="date"),
    "POST /things 200 application/json .size: may now be string": lambda d: fields(received(d))["size"]["anyOf"].append(
        {"type": "string"}
    ),
}


@pytest.mark.parametrize("told", BREAKS)
def test_a_breaking_change_is_told(told: str) -> None:
    new = deepcopy(API)
    BREAKS[told](new)
    assert told in breaking_changes(API, new)


def test_a_type_that_changes_both_ways_breaks_whoever_sends_it_and_whoever_reads_it() -> None:
    new = deepcopy(API)
    fields(sent(new))["count"]["type"] = fields(received(new))["count"]["type"] = "string"
    assert [change.partition(".count: ")[2] for change in breaking_changes(API, new)] == [
        "may no longer be integer",
        "may now be string",
    ]


def test_a_change_behind_a_reference_is_told_once() -> None:
    new = deepcopy(API)
    new["components"]["schemas"]["Node"]["properties"].clear()
    assert len(breaking_changes(API, new)) == 2  # where it is sent, and where it is received


WIDENS: dict[str, Callable[[Document], object]] = {
    "a new path": lambda d: d["paths"].update({"/more": {}}),
    "a new status": lambda d: operation(d)["responses"].update({"409": {}}),
    "a new parameter": lambda d: operation(d)["parameters"].append({"in": "query", "name": "new", "schema": {}}),
    "a wider parameter": lambda d: operation(d)["parameters"][0]["schema"].pop("maximum"),
    "a parameter that may be given more than once": lambda d: operation(d)["parameters"][0].update(
        schema={"anyOf": [{"type": "array", "items": operation(d)["parameters"][0]["schema"]}, {"type": "null"}]}
    ),
    "a new optional field to send": lambda d: fields(sent(d)).update(new={"type": "string"}),
    "a field that may be left out now": lambda d: sent(d)["required"].remove("uri"),
    "one more value to send": lambda d: fields(sent(d))["mode"]["enum"].append("c"),
    "one more value to read": lambda d: fields(received(d))["mode"]["enum"].append("c"),
    "a number where an integer was taken": lambda d: fields(sent(d))["count"].update(type="number"),
    "a new field to read": lambda d: fields(received(d)).update(new={"type": "string"}),
    "nothing": deepcopy,
}


@pytest.mark.parametrize("what", WIDENS)
def test_a_change_that_only_widens_breaks_nobody(what: str) -> None:
    new = deepcopy(API)
    WIDENS[what](new)
    assert breaking_changes(API, new) == []


def test_the_committed_description_is_todays() -> None:
    assert TODAY.read_text("utf-8") == write(describe_api()), "docs/openapi.json is stale; run 'make openapi'"


def test_nothing_that_was_promised_is_broken() -> None:
    broken = breaking_changes(json.loads(PROMISED.read_text("utf-8")), describe_api())
    assert broken == [], "callers of /v1 would break; a release that means to: 'make openapi-release'"
