"""Headers of every answer: what a browser may not do with it, who may keep it, what is left of the rate limit.

And how to read one of a request where no `Request` is at hand.
"""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.rates import WINDOW_SECONDS, Rate

SECURE: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
"""Unless a route says otherwise."""
HTTPS_ONLY = "max-age=31536000; includeSubDomains"


class AnswerHeaders:
    """Add them to every answer that has none of its own."""

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self.app = app
        self._always = _raw({**SECURE, **({"Strict-Transport-Security": HTTPS_ONLY} if https_only else {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                added = (*self._always, *_raw(rate_headers(scope["state"].get("rate"))))
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in own)]
            await send(message)

        await self.app(scope, receive, send_secured)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Write headers as servers take them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def header_of(scope: Scope, name: bytes) -> str | None:
    """Read a header of a request, the first of several; `name` is in lower case, as servers write them."""
    for each, value in scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None


def rate_headers(rate: Rate | None) -> Mapping[str, str]:
    """Say what is left of a limit, by draft-ietf-httpapi-ratelimit-headers-10."""
    if rate is None:
        return {}
    return {
        "RateLimit-Policy": f'"{rate.name}";q={rate.limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"{rate.name}";r={rate.remaining};t={rate.reset_seconds}',
    }
