"""Which URLs webhooks may be sent to."""

from ipaddress import ip_address, ip_network

import httpx

from ddoq.errors import DdoqError
from ddoq.guard import Rules, require_public
from jobs.webhook_errors import WebhookUrlError

PORTS = {"https": 443, "http": 80}


def require_sendable(url: str, rules: Rules) -> None:
    """Refuse a URL that webhooks are not sent to. Asks the name server.

    Raises:
        WebhookUrlError: it is no `https://` URL of a host with public addresses, nor one with an address in the
            private networks that are allowed, which `http://` is for.
    """
    parsed = _parsed(url)
    if parsed.scheme not in PORTS:
        raise WebhookUrlError(f"the URL has the scheme {parsed.scheme!r}; webhooks are sent to https://")
    port = PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not 0 < port < 2**16:
        raise WebhookUrlError(f"the port {port} cannot be reached; there are those from 1 to 65535")
    if parsed.userinfo or parsed.fragment or not parsed.host:
        raise WebhookUrlError("the URL must have a host, and neither a user nor a password nor a fragment")
    try:
        addresses = require_public(parsed.host, port, rules)
    except OSError as error:
        raise WebhookUrlError(f"the host {parsed.host!r} cannot be resolved: {error.strerror or error}") from error
    except DdoqError as error:
        raise WebhookUrlError(f"the URL cannot be used: {error}") from error
    if parsed.scheme == "http" and not all(_is_private(address, rules) for address in addresses):
        raise WebhookUrlError("http:// is for private networks that this installation allows; use https://")


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise WebhookUrlError(f"the URL cannot be read: {error}") from error


def _is_private(address: str, rules: Rules) -> bool:
    return any(ip_address(address) in ip_network(network) for network in rules.private_networks)
