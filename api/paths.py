"""Ids in paths. One of another shape names nothing, and never reaches the database."""

import re
from typing import Annotated

from fastapi import Depends, Path

from jobs.errors import JobNotFoundError, KeyNotFoundError
from jobs.ids import ALPHABET
from jobs.upload_errors import UploadNotFoundError
from jobs.webhook_errors import DeliveryNotFoundError, WebhookNotFoundError

_UNIQUE = re.compile(f"[{ALPHABET}]{{26}}")


def require_job_id(job_id: str) -> str:
    """Refuse what cannot be the id of a job.

    Raises:
        JobNotFoundError: it has another shape.
    """
    if not _is_id(job_id, "job_"):
        raise JobNotFoundError(f"there is no job {job_id!r}")
    return job_id


async def _job_id(job_id: Annotated[str, Path(description="`job_` and 26 characters.")]) -> str:
    return require_job_id(job_id)


async def _key_id(key_id: Annotated[str, Path(description="`key_` and 26 characters.")]) -> str:
    if not _is_id(key_id, "key_"):
        raise KeyNotFoundError(f"there is no API key {key_id!r}")
    return key_id


async def _upload_id(upload_id: Annotated[str, Path(description="`upload_` and 26 characters.")]) -> str:
    if not _is_id(upload_id, "upload_"):
        raise UploadNotFoundError(f"there is no upload {upload_id!r}")
    return upload_id


async def _endpoint_id(endpoint_id: Annotated[str, Path(description="`whe_` and 26 characters.")]) -> str:
    if not _is_id(endpoint_id, "whe_"):
        raise WebhookNotFoundError(f"there is no webhook endpoint {endpoint_id!r}")
    return endpoint_id


async def _message_id(
    message_id: Annotated[str, Path(description="`webhook-id`: `msg_` and 26 characters.")],
) -> str:
    if not _is_id(message_id, "msg_"):
        raise DeliveryNotFoundError(f"there is no delivery {message_id!r}")
    return message_id


def _is_id(text: str, prefix: str) -> bool:
    return text.startswith(prefix) and _UNIQUE.fullmatch(text.removeprefix(prefix)) is not None


JobId = Annotated[str, Depends(_job_id)]
KeyId = Annotated[str, Depends(_key_id)]
UploadId = Annotated[str, Depends(_upload_id)]
EndpointId = Annotated[str, Depends(_endpoint_id)]
MessageId = Annotated[str, Depends(_message_id)]
