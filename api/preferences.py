"""What the caller prefers: RFC 7240. Pure."""

import re
from typing import Annotated

from fastapi import Header

MAX_WAIT_SECONDS = 60
_WAIT = re.compile(r"wait[ \t]*=[ \t]*\"?(\d{1,9})\"?[ \t]*(;.*)?", re.ASCII | re.IGNORECASE)

Preferences = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description=f"`wait=SECONDS`, at most {MAX_WAIT_SECONDS}: answer when there is news of the job. With "
        "`If-None-Match` that is any change, without it the end.",
    ),
]


def wait_seconds(header: str | None) -> int | None:
    """Tell how long the answer may take by `Prefer: wait=N`, bounded; none where it is not said, or not in seconds."""
    for preference in (header or "").split(","):
        if match := _WAIT.fullmatch(preference.strip()):
            return min(int(match[1]), MAX_WAIT_SECONDS)
    return None
