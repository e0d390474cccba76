"""How large a body may be and how long it may take, before any route looks at it.

What lies around a body, the line of the request and its headers, is bounded by the parser, h11: 16 KiB in all.
"""

import asyncio
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.bodies import MAX_BODY_BYTES
from api.errors import BodyTimeoutError, BodyTooLargeError
from api.headers import header_of
from api.problems import problem_response


@dataclass(frozen=True)
class BodyRule:
    """What a body may be, of the routes below `prefix`; None is left to the route."""

    prefix: str
    max_bytes: int | None
    seconds: float | None
    pause_seconds: float


RULES = (
    BodyRule("/v1/uploads", max_bytes=None, seconds=None, pause_seconds=60),
    BodyRule("/page/uploads", max_bytes=None, seconds=None, pause_seconds=60),
    BodyRule("/", max_bytes=MAX_BODY_BYTES, seconds=60, pause_seconds=20),
)
"""The first that fits is it."""


class BodyLimit:
    """Refuse bodies that are declared too large; break off those that turn out so, or come too slowly."""

    def __init__(self, app: ASGIApp, rules: tuple[BodyRule, ...] = RULES) -> None:
        self.app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        rule = next(rule for rule in self._rules if scope["path"].startswith(rule.prefix) or rule.prefix == "/")
        declared = header_of(scope, b"content-length") or "0"
        if rule.max_bytes is not None and declared.isdecimal() and int(declared) > rule.max_bytes:
            await problem_response(Request(scope), _too_large(rule.max_bytes))(scope, receive, send)
        else:
            await self.app(scope, _Body(rule, receive).receive, send)


class _Body:
    """Counts and times a body while it is received."""

    def __init__(self, rule: BodyRule, receive: Receive) -> None:
        self._rule = rule
        self._receive = receive
        self._n_bytes = 0
        self._is_complete = False
        self._ends_at = time.monotonic() + rule.seconds if rule.seconds is not None else None

    async def receive(self) -> Message:
        """Receive the next part.

        Raises:
            BodyTooLargeError: more came than may.
            BodyTimeoutError: it did not come in time.
        """
        if self._is_complete:  # what comes now is that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience()):
                message = await self._receive()
        except TimeoutError:
            raise BodyTimeoutError("the body came too slowly, or not at all; send it again at once") from None
        self._n_bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._rule.max_bytes is not None and self._n_bytes > self._rule.max_bytes:
            raise _too_large(self._rule.max_bytes)
        return message

    def _patience(self) -> float:
        if self._ends_at is None:
            return self._rule.pause_seconds
        return max(0.0, min(self._rule.pause_seconds, self._ends_at - time.monotonic()))


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {max_bytes} bytes; send a smaller one")
