"""Signing in through Chromium: what a key opens, and where it is never seen."""

import pytest

from tests.page.visiting import Visitor

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]

WRONG = "ddoq_0123456789abcdefghijklmnopqrstuvwxyz"


def test_a_wrong_key_is_told_beside_its_field(visitor: Visitor) -> None:
    visitor.sign_in(WRONG)
    visitor.expect(visitor.page.get_by_role("alert")).to_contain_text("key")
    visitor.expect(visitor.page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")


def test_a_wrong_key_is_in_no_address_and_not_on_the_page(visitor: Visitor) -> None:
    visitor.sign_in(WRONG)
    visitor.expect(visitor.page.get_by_role("alert")).to_be_visible()
    assert not [address for address in visitor.traffic.addresses if WRONG in address]
    assert WRONG not in visitor.page.content()


def test_the_right_key_opens_the_jobs(owner: Visitor) -> None:
    assert owner.page.url == f"{owner.place.url}/"


def test_the_right_key_is_in_no_address_and_kept_nowhere_in_the_browser(owner: Visitor) -> None:
    kept = owner.page.context.storage_state()
    assert [cookie["name"] for cookie in kept["cookies"]] == ["ddoq_session"]
    assert owner.place.key not in f"{kept} {owner.traffic.addresses} {owner.page.content()}"


def test_who_signs_out_sees_no_jobs_any_more(owner: Visitor) -> None:
    owner.press("Sign out")
    owner.open("/")
    owner.expect(owner.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_job_is_reached_by_keyboard_alone(visitor: Visitor, finished: str) -> None:
    page = visitor.page
    visitor.open("/")
    page.keyboard.type(visitor.place.key)  # the field has the focus
    page.keyboard.press("Enter")
    visitor.tab_to(page.get_by_role("link", name=finished))
    page.keyboard.press("Enter")
    visitor.expect(page.get_by_role("heading", level=1)).to_contain_text(finished)


def test_the_first_tab_on_a_page_offers_to_skip_to_its_content(owner: Visitor) -> None:
    owner.page.keyboard.press("Tab")
    owner.expect(owner.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    owner.page.keyboard.press("Enter")
    owner.expect(owner.page.get_by_role("main")).to_be_focused()
