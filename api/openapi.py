"""The description of the API: what the framework derives, and what it cannot know of bodies, problems and headers."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.described import HEADERS, Operation, complete
from api.examples import EXAMPLES
from api.problem_codes import describe_codes, example_of, kinds_by_code
from api.problem_shapes import Problem
from api.problems import MEDIA_TYPE, status_of
from api.upload_views import Completion, UploadRequest
from api.views import JobRequest, NewKey
from api.webhook_views import EndpointPatch, NewEndpoint, Rotation
from ddoq.config import DistillConfig
from ddoq.errors import DdoqError
from jobs.errors import RateLimitedError

_REFERENCE = "#/components/schemas/{model}"

TAGS = [
    {"name": "jobs", "description": "Ask for a distillation, watch it, cancel it, try it again, delete it."},
    {"name": "installation", "description": "What this installation offers, who works, who you are, how much is left."},
    {"name": "artifacts", "description": "Download what a job made."},
    {"name": "uploads", "description": "Send a file, whole or in parts, to be the dataset of jobs."},
    {"name": "api-keys", "description": "Create, list and revoke keys. Needs the scope `keys:manage`."},
    {
        "name": "webhooks",
        "description": "Be told of jobs by Standard Webhooks; see docs/webhooks.md. Needs the scope `webhooks:manage`.",
    },
    {"name": "usage", "description": "See what you have used, and what you may use."},
    {"name": "health", "description": "For load balancers and supervisors; needs no key."},
]

DESCRIPTION = """\
Turn a labelled image dataset into a small, weighted, synthetic one: POST a dataset's address and a number of images per
class, watch the job, download the archive.

Every error is an RFC 9457 problem document with a stable `code`. A job that failed or expired is not a failed
request: it is answered with 200, `status: "failed"` or `"expired"`, and an `error` whose code is from the same list.
Times are RFC 3339 in UTC.

Fields and codes may be added to answers; none is removed or changes its meaning within `/v1`."""


_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model=Problem.__name__)}}}

ANY_PROBLEM: dict[int | str, dict[str, Any]] = {"default": {"description": "Any other error.", "content": _PROBLEM}}
"""Every operation's; without it, the framework would describe errors of its own."""


def problems(*answers: int | type[DdoqError]) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that an operation is known to answer with.

    Args:
        answers: A status, for the codes that any such operation answers with; or a kind of error, for its own code.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for answer in (*answers, RateLimitedError) if 401 in answers else answers:  # whoever has a key is counted
        status = answer if isinstance(answer, int) else status_of(answer)
        described = found.setdefault(status, {"description": HTTPStatus(status).phrase, "content": _PROBLEM})
        if not isinstance(answer, int):
            described.setdefault("x-codes", []).append(answer.code)
    return found


def body_of(model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a JSON body that `api.bodies` reads."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content = {"application/json": {"schema": schema, "example": dict(example)}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document, once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        _add_schemas(document)
        operations = list(_operations(document))
        for operation in operations:
            complete(operation, operations)
        _add_components(document)
        app.openapi_schema = document
    return app.openapi_schema


def _add_schemas(document: dict[str, Any]) -> None:
    _, extra = models_json_schema(
        [
            (Problem, "serialization"),
            (DistillConfig, "validation"),
            (JobRequest, "validation"),
            (NewKey, "validation"),
            (UploadRequest, "validation"),
            (Completion, "validation"),
            (NewEndpoint, "validation"),
            (EndpointPatch, "validation"),
            (Rotation, "validation"),
        ],
        ref_template=_REFERENCE,
    )
    schemas = {**document["components"]["schemas"], **extra["$defs"]}
    schemas[Problem.__name__]["description"] += f"\n\n{describe_codes()}"
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, description in methods.items():
            yield Operation(method.upper(), path, description)


def _add_components(document: dict[str, Any]) -> None:
    """Put what operations share into one place: headers, and examples of answers and of problems."""
    answers = [a for operation in _operations(document) for a in operation.description["responses"].values()]
    sent = {name for answer in answers for name in answer["headers"]}
    shown = {
        name for answer in answers for content in answer.get("content", {}).values() for name in _examples(content)
    }
    kinds = kinds_by_code()
    document["components"]["headers"] = {name: HEADERS[name] for name in sorted(sent & HEADERS.keys())}
    document["components"]["examples"] = {
        name: {"value": EXAMPLES[name]()} if name in EXAMPLES else example_of(kinds[name]) for name in sorted(shown)
    }


def _examples(content: Mapping[str, Any]) -> list[str]:
    return [name for name, example in content.get("examples", {}).items() if "$ref" in example]
