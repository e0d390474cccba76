"""One attempt to deliver a webhook: a signed POST that never takes long, whatever the receiver does."""

import json
import socket
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from ddoq.errors import DdoqError
from ddoq.guard import Rules, open_http
from jobs.rows import storable
from jobs.webhook_records import Attempt, Due
from jobs.webhook_secrets import Vault, signatures
from jobs.webhook_urls import require_sendable

ATTEMPT_SECONDS = 15.0
READ_BYTES = 1024  # of an answer, at most
EXCERPT_LENGTH = 200


class Deadline:
    """Cuts the connection off in the end: the timeouts of a client begin anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of the connection: an extension of httpcore, which calls this."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._stream = info["return_value"]
        if self.is_over:
            raise httpx.ReadTimeout("the deadline is over")

    def _cut(self) -> None:
        self.is_over = True
        if self._stream is not None:
            try:
                self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            except OSError:  # it has just been closed
                return


def post(due: Due, vault: Vault, rules: Rules, seconds: float = ATTEMPT_SECONDS) -> tuple[Attempt, float | None]:
    """Attempt a delivery; answer what became of it, and for how many seconds the receiver wants no other."""
    at, began = datetime.now(UTC), time.monotonic()
    with Deadline(seconds) as deadline:
        try:
            require_sendable(due.url, rules)
            body = body_of(due)
            headers = _headers(due, vault, int(at.timestamp()), body)
            with open_http(rules, seconds) as client:
                request = client.build_request(
                    "POST", due.url, content=body, headers=headers, extensions={"trace": deadline.trace}
                )
                response = client.send(request, stream=True)
                status, error, excerpt = response.status_code, None, _excerpt(response)
                retry_after = _retry_after(response.headers.get("retry-after"), at)
        except (httpx.HTTPError, DdoqError, OSError) as failure:
            status, excerpt, retry_after = None, "", None
            error = f"no answer within {seconds:g} seconds" if deadline.is_over else _reason(failure)
    return Attempt(at, status, error, round(time.monotonic() - began, 3), excerpt), retry_after


def body_of(due: Due) -> bytes:
    """Write the payload, the same bytes at every attempt."""
    timestamp = due.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    payload = {"type": due.type, "timestamp": timestamp, "data": due.data}
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _headers(due: Due, vault: Vault, timestamp: int, body: bytes) -> dict[str, str]:
    secrets = [vault.decrypt(secret, due.endpoint_id) for secret in due.secrets]
    return {
        "content-type": "application/json",
        "user-agent": "ddoq-webhooks",
        "accept-encoding": "identity",
        "webhook-id": due.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(secrets, due.message_id, timestamp, body),
    }


def _excerpt(response: httpx.Response) -> str:
    """Read the beginning of an answer; the status counts, even if the rest never comes."""
    body = b""
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= READ_BYTES:
                break
    except (httpx.HTTPError, OSError):
        pass
    finally:
        response.close()
    return storable(body[:READ_BYTES].decode(errors="replace"))[:EXCERPT_LENGTH]


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Read `Retry-After`, in seconds or as a date; what cannot be read counts as left out."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            return float(header)
        until = parsedate_to_datetime(header)
        return (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None


def _reason(failure: Exception) -> str:
    return storable(f"{type(failure).__name__}: {failure}")[:EXCERPT_LENGTH]
