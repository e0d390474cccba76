"""Errors on pages: pages themselves, one sentence, the code, what to do."""

import re
from typing import Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from api.pages.cookies import COOKIE, end_session
from api.pages.rendering import show
from api.problem_shapes import Problem

NO_SESSION: Final = "session.missing"
_PAGES = re.compile(r"/|/(sign-in|sign-out|new|compare)|/jobs(/.*)?")


def is_page(request: Request) -> bool:
    """Whether what is there, or was to be, is for people."""
    return _PAGES.fullmatch(request.url.path) is not None


def show_refusal(request: Request, problem: Problem) -> Response:
    """Show a problem; who is not signed in is asked to be, and led back."""
    if problem.code == NO_SESSION and request.method == "GET":
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        response: Response = RedirectResponse(_sign_in(there), 303)
    else:
        response = show(request, "refusal.html", problem.status, problem=problem)
    if problem.code == NO_SESSION and COOKIE in request.cookies:
        end_session(response)
    return response


def _sign_in(there: str) -> str:
    return "/sign-in" if there == "/" else f"/sign-in?{urlencode({'to': there})}"
