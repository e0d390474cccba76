"""The description of the API: what the framework derives, and what it cannot know of bodies and problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import MEDIA_TYPE, Problem
from api.views import JobRequest, NewKey
from ddoq.config import DistillConfig

_REFERENCE = "#/components/schemas/{model}"

TAGS = [
    {"name": "jobs", "description": "Ask for a distillation, watch it, cancel it."},
    {"name": "artifacts", "description": "Download what a job made."},
    {"name": "api-keys", "description": "Create, list and revoke keys. Needs the scope `keys:manage`."},
    {"name": "usage", "description": "See what you have used, and what you may use."},
    {"name": "health", "description": "For load balancers and supervisors; needs no key."},
]

DESCRIPTION = """\
Turn a labelled image dataset into a small, weighted, synthetic one: POST a dataset's address and a number of images per
class, watch the job, download the archive.

Every error is an RFC 9457 problem document with a stable `code`. A job that failed or expired is not a failed
request: it is answered with 200, `status: "failed"` or `"expired"`, and an `error` whose code is from the same list.
Times are RFC 3339 in UTC."""


_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model=Problem.__name__)}}}

ANY_PROBLEM: dict[int | str, dict[str, Any]] = {"default": {"description": "Any other error.", "content": _PROBLEM}}
"""Every operation's; without it, the framework would describe errors of its own."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that an operation is known to answer with."""
    return {status: {"description": HTTPStatus(status).phrase, "content": _PROBLEM} for status in statuses}


def body_of(model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a JSON body that `api.bodies` reads."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content = {"application/json": {"schema": schema, "example": dict(example)}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document, once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        _, extra = models_json_schema(
            [
                (Problem, "serialization"),
                (DistillConfig, "validation"),
                (JobRequest, "validation"),
                (NewKey, "validation"),
            ],
            ref_template=_REFERENCE,
        )
        schemas = document["components"]["schemas"]
        document["components"]["schemas"] = dict(sorted({**schemas, **extra["$defs"]}.items()))
        app.openapi_schema = document
    return app.openapi_schema
