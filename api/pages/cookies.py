"""The cookie of a session: for this site alone, out of reach of scripts."""

import time
from typing import Final

from fastapi import Request, Response

from api.pages.tokens import SESSION_SECONDS
from api.services import Services
from jobs.records import ApiKey

COOKIE: Final = "ddoq_session"


def begin_session(request: Request, response: Response, using: Services, key: ApiKey) -> None:
    """Give the browser a session of a key."""
    response.set_cookie(
        COOKIE,
        using.session_tokens.issue(key.id, time.time()),
        max_age=SESSION_SECONDS,
        secure=using.settings.https_only or request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def end_session(response: Response) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
