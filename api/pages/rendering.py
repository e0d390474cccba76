"""Templates to pages: one environment, one policy, one set of headers."""

from functools import cache
from types import MappingProxyType
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.pages import hints, wording
from api.pages.assets import address_of
from ddoq.measure_words import in_bytes

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = MappingProxyType({"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"})
"""The others are those of every answer. With `no-referrer`, browsers would not say which site a form comes from."""


def show(request: Request, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """Answer with a page; `session` of templates is that of the request, if there is one."""
    session = getattr(request.state, "session", None)
    text = _environment().get_template(template).render(shown, session=session, path=request.url.path)
    return HTMLResponse(text, status, headers=HEADERS)


def load_templates() -> None:
    """Read all templates, so that no page waits for it."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = address_of
    environment.filters.update(when=wording.when, moment=wording.moment, span=wording.span, size=in_bytes)
    environment.filters.update(marks=hints.marks, hint_of=hints.hint_of, sentence=wording.sentence)
    return environment
