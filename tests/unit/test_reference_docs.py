"""docs/api.md against the routes, docs/settings.md and every other page against the settings."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from jobs.settings import Settings
from tests.openapi_snapshot import describe_api

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
CALL = re.compile(r"^\| (`[A-Z].*?) \| (?:`([a-z:]+)`|none) \|", re.MULTILINE)
ROW = re.compile(r"^\| `DDOQ_([A-Z0-9_]+)` \| (.*) \| (.*) \|$", re.MULTILINE)
OF_CLIENTS = {"url", "api_key"}


def routes() -> set[tuple[str, str, str]]:
    """List method, path and scope of every operation."""
    return {
        (
            method.upper(),
            re.sub(r"{\w+}", "{}", path),
            (operation.get("security") or [{"ApiKey": [""]}])[0]["ApiKey"][0],
        )
        for path, operations in describe_api()["paths"].items()
        for method, operation in operations.items()
    }


def documented_routes() -> Iterator[tuple[str, str, str]]:
    """Read rows such as ``| `GET`, `HEAD /v1/a`, `/v1/b` | `scope` |``: a path alone has the methods before it."""
    for calls, scope in CALL.findall((DOCS / "api.md").read_text("utf-8")):
        methods, is_complete = list[str](), False
        for method, path in re.findall(r"`([A-Z]*) ?([^`]*)`", calls):
            if method:
                methods, is_complete = ([method] if is_complete else [*methods, method]), bool(path)
            if path:
                yield from ((one, re.sub(r"{\w+}", "{}", path), scope) for one in methods)


def default_of(name: str, field: FieldInfo) -> str:
    default: Any = field.default
    if field.is_required():
        return "needed"
    if field.default_factory or default in (None, (), "", SecretStr("")):
        return ""
    if isinstance(default, int) and "bytes" in name:
        return f"{default // 2**30} GiB"
    if isinstance(default, tuple | StrEnum):
        return f"`{':'.join(default) if isinstance(default, tuple) else default.value}`"
    return f"`{str(default).lower()}`"


def test_every_route_is_documented_with_its_scope_and_there_is_no_other() -> None:
    assert sorted(documented_routes()) == sorted(routes())


def test_every_setting_is_documented_with_its_default_and_there_is_no_other() -> None:
    settings = [
        (name.upper(), default_of(name, field), field.description) for name, field in Settings.model_fields.items()
    ]
    assert ROW.findall((DOCS / "settings.md").read_text("utf-8")) == settings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = {name.lower() for name in re.findall(r"DDOQ_([A-Z0-9_]+)", page.read_text("utf-8"))}
    assert named <= set(Settings.model_fields) | OF_CLIENTS
