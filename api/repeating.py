"""Requests that may be sent again: what names one, and how an answer says that it is an earlier one's."""

import json
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]*$",
        description="Any text of printable ASCII, new for each request: one that is sent again makes nothing twice.",
    ),
]
REPLAYED: Mapping[str, str] = MappingProxyType({"Idempotency-Replayed": "true"})


def digest_of(body: BaseModel) -> str:
    """SHA-256 of what was asked for, however it was written; defaults that were left out do not count."""
    given = body.model_dump(mode="json", exclude_unset=True)
    return sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
