"""Examples of answers, for the description of the API."""

from collections.abc import Callable, Mapping
from typing import Any

from api.views import JobRequest

REQUEST: Mapping[str, Any] = {
    "dataset": {"uri": "s3://datasets/flowers.zip"},
    "images_per_class": 10,
    "job": {"priority": "normal"},
}
NEW_KEY: Mapping[str, Any] = {"name": "training pipeline", "scopes": ["jobs:read", "jobs:write"]}

_JOB = "job_0d1m8q2r5t7w9y1b3d5f7h9k2m"
_PATH = f"/v1/jobs/{_JOB}"
_AT = "2026-01-31T09:00:00Z"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_KEY = {
    "id": "key_0d1m8q2r5t7w9y1b3d5f7h9k2m",
    **NEW_KEY,
    "created_at": _AT,
    "revoked_at": None,
    "expires_at": None,
    "last_used_at": None,
}
_EVENT = {"sequence": 1, "at": _AT, "kind": "queued", "data": {}}
_ARTIFACT = {
    "name": "archive.zip",
    "size_bytes": 4096,
    "sha256": _SHA256,
    "media_type": "application/zip",
    "expires_at": None,
    "download_url": f"{_PATH}/artifacts/archive.zip",
}


def _job() -> dict[str, Any]:
    config = JobRequest.model_validate(REQUEST).config
    waiting = {"units": {"ready": 0, "running": 0, "done": 0}, "done": 0, "total": 0, "attempts": 0}
    unknown = {"seconds": None, "peak_bytes": None}
    first, *later = config.stages
    return {
        "id": _JOB,
        "status": "queued",
        "stage": first,
        "created_at": _AT,
        "started_at": None,
        "finished_at": None,
        "priority": "normal",
        "labels": {"team": "vision"},
        "retried_from": None,
        "queue_position": 1,
        "queue_deadline_at": None,
        "timeout_s": None,
        "expires_at": None,
        "config": config.model_dump(mode="json"),
        "stages": [
            {"stage": first, "status": "ready", **waiting, "units": {"ready": 1, "running": 0, "done": 0}, **unknown},
            *({"stage": stage, "status": "pending", **waiting, **unknown} for stage in later),
        ],
        "error": None,
        "figures": {},
        "links": {
            "self": _PATH,
            "events": f"{_PATH}/events",
            "artifacts": f"{_PATH}/artifacts",
            "cancel": f"{_PATH}/cancel",
            "retry": f"{_PATH}/retry",
        },
    }


EXAMPLES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "ArtifactList": lambda: {"data": [_ARTIFACT]},
    "CreatedKey": lambda: {**_KEY, "secret": "ddoq_…"},
    "EventPage": lambda: {"data": [_EVENT], "next_after": 1},
    "JobPage": lambda: {"data": [_job()], "next_cursor": None},
    "JobView": _job,
    "KeyList": lambda: {"data": [_KEY]},
}
"""By the name of the view. Written out, not made by the code that they are examples of; a test checks each."""
