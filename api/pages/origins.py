"""Whether a page of ours sent a request: browsers say where it comes from, and no other site can say otherwise."""

from urllib.parse import urlsplit

from fastapi import Request

from api.errors import ForeignFormError


def require_own_origin(request: Request) -> None:
    """Refuse what another site makes a browser send.

    Raises:
        ForeignFormError: it comes from elsewhere, or does not say where from.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_own = site == "same-origin" if site else origin is not None and _is_host(origin, request)
    if not is_own:
        raise ForeignFormError(
            "this request does not come from a page of this service; open the page and send it there"
        )


def _is_host(origin: str, request: Request) -> bool:
    return urlsplit(origin).netloc == request.headers.get("host", "")
