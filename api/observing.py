"""What is told of every request: a line of the log, metrics and a span. No query, no body, no key, no address."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.headers import header_of
from api.metrics import OTHER, Answered, ApiMetrics
from jobs.logs import FIELDS, Value
from jobs.records import ApiKey
from jobs.tracing import HEADER, Traced, traced

PARENT = HEADER.encode()
PROBES = frozenset({"/healthz", "/readyz"})  # asked every few seconds: logged for those who look for it

log = logging.getLogger(__name__)


@dataclass
class Sent:
    """What of an answer has been sent; without a status nothing has, since the answering broke off."""

    status: int = 500
    size_bytes: int = 0


class Observe:
    """Log, count and trace each request when its answer is complete."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent, started = Sent(), time.perf_counter()

        async def send_seen(message: Message) -> None:
            sent.status = message.get("status", sent.status)
            sent.size_bytes += len(message.get("body", b""))
            await send(message)

        parent = header_of(scope, PARENT)
        begun = {"http.request.method": scope["method"], "ddoq.request_id": scope["state"]["request_id"]}
        with self._metrics.in_flight.track_inprogress(), traced(scope["method"], "server", parent, begun) as span:
            try:
                await self.app(scope, receive, send_seen)
            finally:
                self._tell(scope, sent, time.perf_counter() - started, span)

    def _tell(self, scope: Scope, sent: Sent, seconds: float, span: Traced) -> None:
        state, method = scope["state"], scope["method"]
        answered = Answered(method, _route(scope), sent.status, seconds, state.get("problem"))
        self._metrics.count(answered)
        span.tell(
            f"{method} {answered.route}",
            {"http.route": answered.route, "http.response.status_code": answered.status},
        )
        if answered.status >= 500:
            span.fail(answered.code or str(answered.status))
        level = logging.DEBUG if answered.route in PROBES else logging.INFO
        fields = {
            "method": method,
            "route": answered.route,
            "status": answered.status,
            "milliseconds": round(1000 * seconds, 1),
            "bytes": sent.size_bytes,
            **({"code": answered.code} if answered.code else {}),
            **_caller(state.get("key")),
        }
        log.log(level, "answered", extra={FIELDS: fields})


def _route(scope: Scope) -> str:
    """Name the route as it is declared: a path as it came may hold anything, and there are too many."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else OTHER


def _caller(key: ApiKey | None) -> Mapping[str, Value]:
    return {"key_id": key.id, "owner": key.owner} if key else {}
