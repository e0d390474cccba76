"""Which URLs webhooks may be sent to."""

import pytest

from ddoq.guard import Rules
from jobs.webhook_errors import WebhookUrlError
from jobs.webhook_urls import require_sendable

NAMES = {
    "public.example": ["93.184.215.14"],
    "inside.example": ["10.0.0.7"],
    "both.example": ["93.184.215.14", "10.0.0.7"],
}


def resolve(host: str, _port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    if host[0].isdigit():
        return [host]
    raise OSError("no such name")


CLOSED, OPEN = Rules(resolve=resolve), Rules(("10.0.0.0/8",), resolve)


@pytest.mark.parametrize(
    "url", ["https://public.example/a?b=c", "https://public.example:8443", "https://93.184.215.14/"]
)
def test_a_public_https_url_is_taken(url: str) -> None:
    require_sendable(url, CLOSED)


@pytest.mark.parametrize("url", ["http://inside.example/", "https://inside.example/", "http://10.0.0.7:8080/hook"])
def test_an_allowed_private_network_may_be_reached_unencrypted(url: str) -> None:
    require_sendable(url, OPEN)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://public.example/", "use https"),
        ("ftp://public.example/", "scheme 'ftp'"),
        ("public.example/hook", "scheme ''"),
        ("https:///hook", "must have a host"),
        ("https://user:pass@public.example/", "neither a user"),
        ("https://public.example/#part", "nor a fragment"),
        ("https://inside.example/", "may not be reached"),
        ("https://both.example/", "may not be reached"),
        ("https://127.0.0.1/", "may not be reached"),
        ("https://169.254.169.254/latest/", "may not be reached"),
        ("https://nowhere.example/", "cannot be resolved"),
        ("https://public.example:99999/", "from 1 to 65535"),
        ("https://public.example:0/", "from 1 to 65535"),
        ("https://public.example:x/", "cannot be read"),
        ("https://\n/", "cannot be read"),
    ],
)
def test_any_other_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(WebhookUrlError, match=reason):
        require_sendable(url, CLOSED)


@pytest.mark.parametrize("url", ["http://public.example/", "http://both.example/"])
def test_a_public_address_is_never_reached_unencrypted(url: str) -> None:
    with pytest.raises(WebhookUrlError, match="use https"):
        require_sendable(url, OPEN)
