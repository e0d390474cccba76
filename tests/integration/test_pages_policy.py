"""What every page keeps to: nothing from elsewhere, nothing inside that runs, few bytes, a shape that can be heard."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.integration.browsing import Browser, text_of

PAGES = ["/", "/new", "/sign-in"]
MOST_BYTES = 40_000


class Shape(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inside_labels: list[str] = []
        self._is_in_label = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.tags.append((tag, given))
        if self._is_in_label and "name" in given:
            self.inside_labels.append(given["name"])
        self._is_in_label |= tag == "label"

    def handle_endtag(self, tag: str) -> None:
        self._is_in_label &= tag != "label"

    def named(self, *tags: str) -> list[dict[str, str]]:
        return [given for tag, given in self.tags if tag in tags]


def open_page(browser: Browser, path: str, ann: dict[str, str]) -> Any:
    if path != "/sign-in":
        browser.sign_in(ann)
    return browser.open(path)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, browser: Browser, ann: dict[str, str]) -> Any:
    found = open_page(browser, request.param, ann)
    assert found.url.path == request.param
    return found


def test_the_policy_lets_in_what_comes_from_here_and_nothing_else(page: Any) -> None:
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"


def test_nothing_is_loaded_from_elsewhere_and_nothing_inside_runs(page: Any) -> None:
    shape = Shape(page.text)
    loaded = [given.get("src") or given.get("href", "") for given in shape.named("script", "link", "img")]
    assert len(loaded) == 3
    assert all(url.startswith("/page/") for url in loaded)
    assert not [name for _, given in shape.tags for name in given if name == "style" or name.startswith("on")]
    assert not shape.named("style", "iframe", "object")


def test_the_assets_ask_for_nothing_and_are_kept_until_they_change(browser: Browser, page: Any) -> None:
    urls = re.findall(r'(?:src|href)="(/page/[^"]*)"', page.text)
    for url in urls:
        asset = browser.client.get(url)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert not re.findall(r"@import|url\(|https?://(?!www\.w3\.org/2000/svg)", asset.text)
    assert len({url.partition("?")[2] for url in urls}) == len(urls)


def test_an_asset_that_is_none_is_not_there(browser: Browser) -> None:
    assert browser.client.get("/page/..%2Ftokens.py").status_code == 404
    assert browser.client.get("/page/tokens.py").json()["code"] == "request.path"


def test_a_page_is_light(browser: Browser, page: Any) -> None:
    urls = re.findall(r'(?:src|href)="(/page/[^"]*)"', page.text)
    assert sum(len(browser.client.get(url).content) for url in urls) + len(page.content) < MOST_BYTES


@pytest.mark.parametrize("kind", ["stable-diffusion", "fit"])
def test_the_form_is_light_with_all_settings_of_a_kind(anns: Browser, kind: str) -> None:
    fields = {"act": "show", "prior.kind": kind, "was.prior.kind": "pixels", "teacher.kind": "train"}
    page = anns.send("/new", **fields)
    urls = re.findall(r'(?:src|href)="(/page/[^"]*)"', page.text)
    assert sum(len(anns.client.get(url).content) for url in urls) + len(page.content) < MOST_BYTES


def test_a_page_has_one_heading_its_landmarks_and_a_way_past_them(page: Any) -> None:
    shape = Shape(page.text)
    assert len(shape.named("h1")) == len(shape.named("main")) == len(shape.named("header")) == 1
    assert shape.named("html")[0]["lang"] == "en"
    assert shape.named("a")[0]["href"] == f"#{shape.named('main')[0]['id']}"
    assert len(shape.named("title")) == 1


def test_every_input_has_a_label_and_what_describes_it_is_there(page: Any) -> None:
    shape = Shape(page.text)
    ids = [given["id"] for _, given in shape.tags if "id" in given]
    assert len(set(ids)) == len(ids)
    labelled = {given["for"] for given in shape.named("label") if "for" in given} | set(shape.inside_labels)
    typed = [given for given in shape.named("input", "select", "textarea") if given.get("type") != "hidden"]
    assert not [given for given in typed if not labelled & {given.get("id"), given.get("name")}]
    described = {name for _, given in shape.tags for name in given.get("aria-describedby", "").split()}
    assert described <= set(ids)


def test_every_form_that_changes_carries_the_token_of_its_session(anns: Browser) -> None:
    for path in ("/", "/new"):
        page = anns.open(path).text
        forms = re.findall(r'<form\b[^>]*method="post".*?</form>', page, re.DOTALL)
        assert forms
        assert all('name="form_token"' in form for form in forms)


def test_what_is_not_there_is_answered_with_a_page_of_one_sentence_and_a_code(anns: Browser) -> None:
    page = anns.open("/jobs/job_1/nothing/here")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "request.path" in text_of(page)
    wrong = anns.client.put("/new")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
    assert "request.method" in text_of(wrong)


def test_the_api_answers_documents_as_before(anns: Browser) -> None:
    assert anns.client.get("/v1/nothing").headers["content-type"] == "application/problem+json"
