"""A service as people run it, and Debian's Chromium before it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
import pytest

from cli.demo import write_digits
from cli.folder import Endpoint, endpoint_file
from tests.integration.launch import launch
from tests.page.visiting import QUICK, Place, Traffic, Visitor
from tests.pictures import members, write_zip

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE_MS = 60_000
FLAGS = (
    "--no-sandbox",  # root may start it
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs Chromium: `make test-page` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def place(chromium: "Browser") -> Iterator[Place]:
    with TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as name:
        root, data = Path(name, "datasets"), Path(name, "service")
        root.mkdir()
        write_zip(root / "pets.zip", members(("cat", "dog", "eel")))
        write_digits(root / "digits.zip")
        with launch(data, "--root", str(root)):
            url = Endpoint.model_validate_json(endpoint_file(data).read_text()).url
            yield Place(url, (data / "api-key").read_text(), root / "pets.zip", root / "digits.zip")


@pytest.fixture(scope="session")
def finished(place: Place) -> str:
    """The id of a job that has distilled digits as `make demo` does."""
    config = {"images_per_class": 10, "prior": {"kind": "pixels", "resolution": 8}}
    job_id = place.submit(place.digits, **config)
    assert place.end_of(job_id) == "succeeded"
    return job_id


@pytest.fixture
def slow(place: Place) -> Iterator[str]:
    """The id of a job that trains its students for hours, after it has made its images."""
    job_id = place.submit(place.small, **{**QUICK, "students": {"seeds": 20, "steps": 100_000, "width": 8}})
    yield job_id
    with suppress(httpx.HTTPStatusError):  # the test has cancelled it
        place.ask("POST", f"/v1/jobs/{job_id}/cancel")
    place.end_of(job_id)


@pytest.fixture
def visit(chromium: "Browser", place: Place) -> Iterator[Callable[..., Visitor]]:
    """Open browsers. At the end of the test they have asked nobody but the service, and have not complained."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    pictures = os.environ.get("SCREENSHOTS")
    traffic, contexts = Traffic(), []

    def open_browser(**options: object) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.set_default_timeout(PATIENCE_MS)
        traffic.listen(context)
        contexts.append(context)
        return Visitor(context.new_page(), place, traffic, expect, Path(pictures) if pictures else None)

    yield open_browser
    for context in contexts:
        context.close()
    assert (traffic.outside(place.url), traffic.complaints) == ([], [])


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """Somebody who has never been here."""
    return visit()


@pytest.fixture
def owner(visitor: Visitor) -> Visitor:
    """The owner of the service, signed in."""
    visitor.sign_in()
    visitor.expect(visitor.page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    return visitor
