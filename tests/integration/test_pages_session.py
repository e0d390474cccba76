"""The session of the page: a key that was entered once, a cookie, forms that only its own pages send."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import text as sql
from starlette.testclient import TestClient

from api.pages.tokens import SESSION_SECONDS, SessionTokens
from api.services import Services
from jobs.keys import Scope, new_secret
from tests.integration.browsing import OWN, Browser, text_of

Headers = dict[str, str]
KeyFor = Callable[..., Headers]


def cookie_of(browser: Browser) -> str:
    return browser.client.cookies["ddoq_session"]


def is_opened_by(browser: Browser, token: str) -> bool:
    """Whether a token alone opens the list of jobs."""
    browser.client.cookies.clear()
    answer = browser.client.get("/", headers={"Cookie": f"ddoq_session={token}"}, follow_redirects=False)
    assert answer.status_code in {200, 303}
    return bool(answer.status_code == 200)


def test_who_is_not_signed_in_is_asked_to_and_led_back(browser: Browser, ann: Headers) -> None:
    page = browser.open("/?state=failed")
    assert page.url.path == "/sign-in"
    assert 'value="/?state=failed"' in page.text
    assert browser.sign_in(ann, "/?state=failed").headers["location"] == "/?state=failed"


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example", "evil", "", "/a\nb"])
def test_nobody_is_led_elsewhere_by_signing_in(browser: Browser, ann: Headers, to: str) -> None:
    assert browser.sign_in(ann, to).headers["location"] == "/"


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser: Browser, ann: Headers) -> None:
    cookie = browser.sign_in(ann).headers["set-cookie"]
    said = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_SECONDS}"} <= said
    assert "secure" not in said


def test_the_cookie_is_secure_where_the_page_came_by_https(app: FastAPI, ann: Headers) -> None:
    with TestClient(app, base_url="https://testserver") as client:
        assert "secure" in Browser(client).sign_in(ann).headers["set-cookie"].lower()


def test_the_key_is_neither_in_the_cookie_nor_on_the_page(anns: Browser, ann: Headers) -> None:
    key = ann["Authorization"].removeprefix("Bearer ")
    assert key not in cookie_of(anns)
    assert key not in anns.open("/").text


def test_a_wrong_key_is_refused_beside_its_field(browser: Browser) -> None:
    page = browser.sign_in({"Authorization": f"Bearer {new_secret()}"})
    assert page.status_code == 401
    assert "set-cookie" not in page.headers
    assert 'aria-invalid="true"' in page.text
    assert "This API key is unknown, was revoked or has expired; create another. auth" in text_of(page)
    assert "auth.invalid_key" in text_of(page)


def test_the_cookie_does_not_open_the_api(anns: Browser) -> None:
    answer = anns.client.get("/v1/jobs", headers=OWN)
    assert answer.status_code == 401
    assert answer.json()["code"] == "auth.missing_key"


def test_a_tampered_cookie_opens_nothing(anns: Browser) -> None:
    token = cookie_of(anns)
    assert is_opened_by(anns, token)
    swapped = "B" if token[10] == "A" else "A"
    assert not is_opened_by(anns, token[:10] + swapped + token[11:])


def test_a_session_that_has_ended_opens_nothing(browser: Browser, services: Services) -> None:
    key, _ = services.keys.create("ann", "old", list(Scope))
    ended = services.session_tokens.issue(key.id, time.time() - SESSION_SECONDS - 1)
    fresh = services.session_tokens.issue(key.id, time.time())
    assert not is_opened_by(browser, ended)
    assert is_opened_by(browser, fresh)


def test_a_revoked_key_ends_its_sessions_at_once(browser: Browser, services: Services) -> None:
    key, secret = services.keys.create("ann", "short", list(Scope))
    browser.sign_in({"Authorization": f"Bearer {secret}"})
    assert browser.open("/").url.path == "/"
    services.keys.revoke("ann", key.id)
    assert browser.open("/").url.path == "/sign-in"


def test_a_key_that_expires_ends_its_sessions_at_once(browser: Browser, services: Services) -> None:
    key, secret = services.keys.create("ann", "short", list(Scope), datetime.now(UTC) + timedelta(hours=1))
    browser.sign_in({"Authorization": f"Bearer {secret}"})
    assert browser.open("/").url.path == "/"
    with services.engine.begin() as connection:
        connection.execute(sql("UPDATE api_keys SET expires_at = now() WHERE id = :id"), {"id": key.id})
    assert browser.open("/").url.path == "/sign-in"


def test_another_pepper_ends_every_session(browser: Browser, services: Services) -> None:
    key, _ = services.keys.create("ann", "kept", list(Scope))
    assert not is_opened_by(browser, SessionTokens(b"another pepper").issue(key.id, time.time()))


def test_a_page_needs_the_scope_that_the_api_needs(browser: Browser, key_for: KeyFor) -> None:
    browser.sign_in(key_for("ann", Scope.KEYS_MANAGE))
    page = browser.open("/")
    assert page.status_code == 403
    assert page.headers["content-type"].startswith("text/html")
    assert "jobs:read" in text_of(page)
    assert "auth.scope" in text_of(page)


def test_signing_out_ends_the_session(anns: Browser) -> None:
    assert anns.send("/sign-out").headers["location"] == "/sign-in"
    assert anns.open("/").url.path == "/sign-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {},
    ],
    ids=str,
)
def test_a_form_of_another_site_changes_nothing(anns: Browser, headers: Headers) -> None:
    page = anns.send("/sign-out", headers=headers)
    assert page.status_code == 403
    assert "session.foreign_form" in text_of(page)
    assert "set-cookie" not in page.headers


def test_a_browser_that_says_only_its_origin_is_believed(anns: Browser) -> None:
    assert anns.send("/sign-out", headers={"Origin": "http://testserver"}).status_code == 303


def test_nobody_is_signed_in_by_another_site(browser: Browser, ann: Headers) -> None:
    key = ann["Authorization"].removeprefix("Bearer ")
    page = browser.client.post("/sign-in", data={"key": key}, headers={"Sec-Fetch-Site": "cross-site"})
    assert page.status_code == 403
    assert "set-cookie" not in page.headers


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_token_of_its_session_changes_nothing(anns: Browser, token: str) -> None:
    page = anns.send("/sign-out", form_token=token)
    assert page.status_code == 403
    assert "session.foreign_form" in text_of(page)


def test_the_token_of_another_session_is_refused(app: FastAPI, anns: Browser, bob: Headers) -> None:
    with TestClient(app) as client:
        bobs = Browser(client)
        bobs.sign_in(bob)
        assert anns.send("/sign-out", form_token=bobs.proof()).status_code == 403
