"""What the framework cannot know of an operation: its headers, its links, the codes of its problems."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.examples import EXAMPLES
from api.problem_codes import codes_of, kinds_by_code
from api.problems import MEDIA_TYPE, title_of


@dataclass(frozen=True)
class Operation:
    """A method on a path; `description` is its part of the document, and is what gets completed."""

    method: str
    path: str
    description: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.description["operationId"])

    @property
    def parameters(self) -> list[str]:
        return [parameter["name"] for parameter in self.description.get("parameters", ())]


def _header(description: str, example: str | int) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example}


HEADERS: Mapping[str, dict[str, Any]] = {
    "Accept-Ranges": _header("`bytes`: a part may be asked for with `Range`.", "bytes"),
    "Content-Disposition": _header("The name to store the file under.", "attachment; filename*=UTF-8''archive.zip"),
    "Content-Range": _header("Which bytes these are, of how many; with 416, of how many alone.", "bytes 0-99/4096"),
    "ETag": _header("Names this very content; send it as `If-None-Match`.", '"9f86d081884c7d65"'),
    "Idempotency-Replayed": _header("`true` where an earlier request with this key made it.", "true"),
    "Link": _header('The next page, as `<path>; rel="next"`; absent on the last.', '</v1/jobs?cursor=…>; rel="next"'),
    "Location": _header("Path of what was made.", "/v1/jobs/job_0d1m8q2r5t7w9y1b3d5f7h9k2m"),
    "Preference-Applied": _header("How long was waited for at most.", "wait=30"),
    "RateLimit": _header("What is left of the limit, and in how many seconds it is whole again.", '"read";r=99;t=1'),
    "RateLimit-Policy": _header("The limit: so many requests in so many seconds.", '"read";q=600;w=60'),
    "Retry-After": _header("Seconds to wait before asking again.", 2),
    "WWW-Authenticate": _header("How to authenticate, and why this key will not do.", 'Bearer realm="ddoq"'),
    "X-Request-ID": _header("Names the request in the server's log.", "req_5f0c1a9e7d3b2c4a6e8f0b1d"),
}
"""Every header that an answer may carry and a caller may use."""

_OF_STATUS: Mapping[str, tuple[str, ...]] = {
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "416": ("Content-Range",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_FILE = ("Accept-Ranges", "Content-Disposition", "ETag")
_OF_OPERATION: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("submit_job", "202"): ("ETag", "Idempotency-Replayed", "Location", "Retry-After"),
    ("retry_job", "202"): ("ETag", "Idempotency-Replayed", "Location", "Retry-After"),
    ("get_job", "200"): ("ETag", "Preference-Applied", "Retry-After"),
    ("get_job", "304"): ("ETag", "Preference-Applied", "Retry-After"),
    ("inspect_job", "200"): ("ETag", "Preference-Applied", "Retry-After"),
    ("inspect_job", "304"): ("ETag", "Preference-Applied", "Retry-After"),
    ("list_jobs", "200"): ("Link",),
    ("list_events", "200"): ("Link",),
    ("cancel_job", "200"): ("ETag",),
    ("cancel_job", "202"): ("ETag", "Retry-After"),
    ("create_upload", "201"): ("Idempotency-Replayed", "Location"),
    ("download_artifact", "307"): ("Location",),
    ("inspect_artifact", "200"): _FILE,
    ("inspect_artifact", "304"): ("ETag",),
    ("download_artifact", "200"): _FILE,
    ("download_artifact", "206"): ("Content-Range", *_FILE),
    ("download_artifact", "304"): ("ETag",),
}
_CONDITIONAL: Mapping[str, str] = {
    "If-None-Match": "An `ETag` that is at hand; the answer is 304 if it still holds.",
    "If-Range": "Honour `Range` only while the file still has this `ETag`; else the answer is the whole.",
}
_READ: Mapping[str, tuple[str, ...]] = {
    "inspect_artifact": ("If-None-Match",),
    "download_artifact": ("If-None-Match", "If-Range"),
}
"""Headers that an operation reads by hand."""

_NAMED_BY: Mapping[str, str] = {
    "JobView": "job_id",
    "CreatedKey": "key_id",
    "UploadView": "upload_id",
    "EndpointWithSecret": "endpoint_id",
}
"""The parameter that takes the `id` of a view."""

_NEXT: Mapping[str, tuple[str, str]] = {"list_jobs": ("cursor", "next_cursor"), "list_events": ("after", "next_after")}
"""Lists: the parameter, and the field of the answer that is its next value."""


def complete(operation: Operation, others: Iterable[Operation]) -> None:
    """Add to an operation's description what the framework left out."""
    _add_scopes(operation)
    _add_read_headers(operation)
    for status, answer in operation.description["responses"].items():
        _add_headers(operation, status, answer)
        if MEDIA_TYPE in answer.get("content", {}):
            _add_codes(operation, status, answer)
        else:
            _add_example(answer)
            _add_links(operation, answer, others)


def _add_scopes(operation: Operation) -> None:
    scopes = [scope for way in operation.description.get("security", ()) for scope in way["ApiKey"]]
    needs = (
        f"Needs a key with the scope {' and '.join(f'`{scope}`' for scope in scopes)}." if scopes else "Needs no key."
    )
    operation.description["description"] += f"\n\n{needs}"


def _add_read_headers(operation: Operation) -> None:
    known = {name.lower() for name in operation.parameters}
    for name in _READ.get(operation.id, ()):
        if name.lower() not in known:
            parameter = {"name": name, "in": "header", "required": False, "description": _CONDITIONAL[name]}
            operation.description["parameters"].append({**parameter, "schema": {"type": "string"}})


def _add_headers(operation: Operation, status: str, answer: dict[str, Any]) -> None:
    names = {"X-Request-ID", *_OF_STATUS.get(status, ()), *_OF_OPERATION.get((operation.id, status), ())}
    if operation.description.get("security"):
        names |= {"RateLimit", "RateLimit-Policy"}
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}
    answer["headers"] = {**references, **answer.get("headers", {})}


def _add_codes(operation: Operation, status: str, answer: dict[str, Any]) -> None:
    codes = codes_of(status, operation.parameters, answer.get("x-codes", ()))
    kinds = kinds_by_code()
    answer["x-codes"] = codes
    answer["description"] += "\n\n" + "\n".join(f"- `{code}`: {title_of(kinds[code])}" for code in codes)
    content = answer["content"][MEDIA_TYPE]
    # A copy: the framework hands out one description of a problem to all operations.
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    answer["content"] = {MEDIA_TYPE: {**content, "examples": examples}}


def _add_example(answer: dict[str, Any]) -> None:
    if (view := _view(answer)) in EXAMPLES:
        answer["content"]["application/json"]["examples"] = {view: {"$ref": f"#/components/examples/{view}"}}


def _view(answer: dict[str, Any]) -> str:
    """Name the view that an answer shows; empty for another."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _add_links(operation: Operation, answer: dict[str, Any], others: Iterable[Operation]) -> None:
    links = dict(_onward(answer, others))
    if operation.id in _NEXT:
        parameter, field = _NEXT[operation.id]
        same = {f"path.{name}": f"$request.path.{name}" for name in _in_path(operation)}
        onward = {**same, f"query.{parameter}": f"$response.body#/{field}"}
        links["next"] = {"operationId": operation.id, "parameters": onward, "description": "What comes after."}
    if links:
        answer["links"] = links


def _onward(answer: dict[str, Any], others: Iterable[Operation]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Link an answer that shows a thing to every operation on that thing alone."""
    named = _NAMED_BY.get(_view(answer))
    for other in others:
        if named and _in_path(other) == [named]:
            parameters = {f"path.{named}": "$response.body#/id"}
            summary = other.description["summary"]
            yield other.id, {"operationId": other.id, "parameters": parameters, "description": f"{summary}."}


def _in_path(operation: Operation) -> list[str]:
    return [part["name"] for part in operation.description.get("parameters", ()) if part["in"] == "path"]
