"""The stylesheet, the script and the icon: own files, kept by browsers until they change."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from api.errors import PathNotFoundError

router = APIRouter(include_in_schema=False)

KINDS: Final = MappingProxyType({"page.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"})
KEPT: Final = MappingProxyType({"Cache-Control": "public, max-age=31536000, immutable"})


@router.get("/page/{name}")
def send_asset(name: str) -> Response:
    """Serve a file that pages load."""
    if name not in KINDS:
        raise PathNotFoundError(f"nothing is at /page/{name}")
    return Response(_read(name), media_type=KINDS[name], headers=KEPT)


def address_of(name: str) -> str:
    """Write the address of a file; another content has another."""
    return f"/page/{name}?{sha256(_read(name)).hexdigest()[:12]}"


@cache
def _read(name: str) -> bytes:
    return (files("api.pages") / "assets" / name).read_bytes()
