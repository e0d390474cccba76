"""Which host names requests may be addressed to: others are not ours, and links to them would lead elsewhere."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import HostRefusedError
from api.headers import header_of
from api.problems import problem_response

PROBES = frozenset({"/healthz", "/readyz"})  # an orchestrator asks by address; they tell nothing and take no key


class TrustedHosts:
    """Refuse a request whose Host is not among those allowed. `*.example.com` allows all below example.com."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self.app = app
        self._allowed = frozenset(host.lower() for host in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or self._allows(_host(scope)):
            await self.app(scope, receive, send)
            return
        refused = HostRefusedError("this service does not answer for the host that the request names")
        await problem_response(Request(scope), refused)(scope, receive, send)

    def _allows(self, host: str) -> bool:
        if "*" in self._allowed or host in self._allowed:
            return True
        return any(host.endswith(allowed[1:]) for allowed in self._allowed if allowed.startswith("*."))


def _host(scope: Scope) -> str:
    """Read the host without its port; an IPv6 address without its brackets."""
    host = (header_of(scope, b"host") or "").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
