"""Every operation of the description against every kind of caller. What others add is tested by being described."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.services import Services
from jobs.keys import Scope
from jobs.records import Artifact
from tests.integration.resources import NEVER, OPEN, VALUES

Headers = dict[str, str]
KeyFor = Callable[..., Headers]
WrongIn = Callable[[Any, int, str], str]

UNDESCRIBED = {
    "/docs",
    "/docs/start.js",
    "/docs/{name}",
    "/openapi.json",
    "/",
    "/new",
    "/compare",
    "/jobs/{job_id}",
    "/jobs/{job_id}/cancel",
    "/jobs/{job_id}/classes/{label}",
    "/jobs/{job_id}/config.json",
    "/jobs/{job_id}/delete",
    "/jobs/{job_id}/files/{name}",
    "/jobs/{job_id}/images/{budget}/{label}/{codeword}",
    "/jobs/{job_id}/plots/{name}",
    "/jobs/{job_id}/retry",
    "/page/uploads",
    "/page/{name}",
    "/sign-in",
    "/sign-out",
}
"""Paths that are pages for people, or the description itself."""


@dataclass(frozen=True)
class Call:
    """One operation, as somebody may call it."""

    method: str
    path: str
    description: dict[str, Any]

    @property
    def scopes(self) -> set[str]:
        return {scope for need in self.description.get("security", ()) for scope in need["ApiKey"]}

    @property
    def parameters(self) -> list[str]:
        inside = [one["name"] for one in self.description.get("parameters", ()) if one["in"] == "path"]
        return [name for name in inside if name not in VALUES]

    def body(self) -> dict[str, Any]:
        """What is sent: the example of a JSON body, or a byte where bytes are wanted."""
        content = self.description.get("requestBody", {}).get("content", {})
        if "application/octet-stream" in content:
            return {"content": b"x"}
        return {"json": content.get("application/json", {}).get("example")}

    def send(self, client: TestClient, headers: Headers, values: dict[str, str]) -> Any:
        url = self.path.format(**{name: values.get(name, NEVER[name][0]) for name in self.parameters}, **VALUES)
        return client.request(self.method, url, headers=headers, **self.body())


def routed(app: FastAPI) -> Iterator[str]:
    """Walk the paths of all routes, described or not."""
    for route in app.routes:
        inside = getattr(route, "effective_route_contexts", lambda route=route: [route])
        yield from (found.path_format for found in inside())


def calls(app: FastAPI) -> Iterator[Call]:
    for path, methods in app.openapi()["paths"].items():
        for method, description in methods.items():
            yield Call(method.upper(), path, description)


@pytest.fixture
def anns(
    client: TestClient, services: Services, ann: Headers, make_artifact: Callable[[str, bytes], Artifact], job_id: str
) -> dict[str, str]:
    """Make one of everything for ann, by the parameter of a path that names it."""
    artifact = make_artifact("secret-name.zip", b"content of ann's")
    key, _ = services.keys.create("ann", "secret-key-name", [Scope.JOBS_READ])
    upload = client.post("/v1/uploads", json={"filename": "secret-upload.zip", "size_bytes": 9}, headers=ann).json()
    url = {"url": "https://93.184.215.14/secret-path", "events": ["job.succeeded"]}
    endpoint = client.post("/v1/webhook-endpoints", json=url, headers=ann).json()
    message = client.post(f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=ann).json()
    return {
        "job_id": job_id,
        "name": artifact.name,
        "key_id": key.id,
        "upload_id": upload["id"],
        "endpoint_id": endpoint["id"],
        "message_id": message["id"],
    }


def test_every_route_is_described_or_a_page(app: FastAPI) -> None:
    assert set(routed(app)) - set(app.openapi()["paths"]) == UNDESCRIBED


def test_every_operation_needs_a_scope_but_those_that_are_open(app: FastAPI) -> None:
    assert {call.path for call in calls(app) if not call.scopes} == OPEN
    assert {scope for call in calls(app) for scope in call.scopes} <= {scope.value for scope in Scope}


def test_every_parameter_of_a_path_is_tried(app: FastAPI, anns: dict[str, str]) -> None:
    named = {name for call in calls(app) for name in call.parameters}
    assert named == set(NEVER) == set(anns), "tell NEVER what names nothing, and let `anns` make one"


def test_each_scope_alone_opens_its_own_operations_and_no_other(
    app: FastAPI, client: TestClient, key_for: KeyFor, wrong_in: WrongIn
) -> None:
    wrong = {}
    for scope in Scope:
        headers = key_for("ann", scope)
        for call in calls(app):
            response = call.send(client, headers, {})
            if call.scopes <= {scope}:
                wrong[scope, call.method, call.path] = "refused" if response.status_code in {401, 403} else ""
            elif call.method == "HEAD":
                wrong[scope, call.method, call.path] = "" if response.status_code == 403 else "let in"
            else:
                wrong[scope, call.method, call.path] = wrong_in(response, 403, "auth.scope")
    allowed_to_hand_out = {(Scope.KEYS_MANAGE, "POST", "/v1/api-keys")}  # the example asks for scopes that it lacks
    assert {case for case, reason in wrong.items() if reason} == allowed_to_hand_out


def test_what_is_somebody_elses_is_not_found_and_nothing_is_told_of_it(
    app: FastAPI, client: TestClient, ann: Headers, bob: Headers, anns: dict[str, str]
) -> None:
    wrong = {}
    for call in calls(app):
        if not call.parameters:
            continue
        theirs, nobodys = call.send(client, bob, anns), call.send(client, bob, {})
        if _told(theirs, anns) != _told(nobodys, {name: value for name, (value, _) in NEVER.items()}):
            wrong[call.method, call.path] = (theirs.status_code, theirs.text, nobodys.text)
        if theirs.status_code != 404:
            wrong[call.method, call.path] = (theirs.status_code, theirs.text, "not 404")
    assert wrong == {}


def _told(response: Any, values: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """What an answer says beside the id that the caller sent and the name of the request."""
    problem = json.loads(response.text or "{}")
    problem.pop("request_id", None)
    detail = problem.pop("detail", "")
    for name, value in values.items():
        detail = detail.replace(value, name)
    return response.status_code, {**problem, "detail": detail}


def test_what_names_nothing_is_told_by_its_own_code(
    app: FastAPI, client: TestClient, ann: Headers, anns: dict[str, str], wrong_in: WrongIn
) -> None:
    wrong = {}
    for call in calls(app):
        for missing in call.parameters:
            if call.method != "HEAD":
                values = {name: value for name, value in anns.items() if name != missing}
                wrong[call.method, call.path] = wrong_in(call.send(client, ann, values), 404, NEVER[missing][1])
    assert not {case: reason for case, reason in wrong.items() if reason}


def test_nothing_of_anns_is_in_any_list_of_bobs(
    app: FastAPI, client: TestClient, bob: Headers, anns: dict[str, str]
) -> None:
    for call in calls(app):
        if call.method == "GET" and not call.parameters:
            text = call.send(client, bob, {}).text
            assert not [value for value in anns.values() if value in text]


def test_after_all_that_bob_did_everything_of_anns_is_as_it_was(
    app: FastAPI, client: TestClient, ann: Headers, bob: Headers, anns: dict[str, str]
) -> None:
    def see() -> list[Any]:
        reads = [call for call in calls(app) if call.method == "GET" and call.scopes and call.path != "/v1/usage"]
        return [_told(call.send(client, ann, anns), {}) for call in reads if "name" not in call.parameters]

    before = see()
    for call in calls(app):
        if call.method != "GET" and call.parameters:
            call.send(client, bob, anns)
    assert see() == before
