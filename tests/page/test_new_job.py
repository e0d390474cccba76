"""A new job through Chromium: a file, a plan, and the job watched to its end."""

import pytest

from tests.page.visiting import Visitor

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]

QUICK = {
    "images_per_class": "2",
    "prior__resolution": "8",
    "students__seeds": "1",
    "students__steps": "2",
    "students__width": "8",
}


def test_a_chosen_file_becomes_the_dataset(owner: Visitor) -> None:
    owner.open("/new")
    owner.send(owner.place.small)
    assert owner.input("dataset.uri").input_value().startswith("upload://")


def test_a_dropped_file_becomes_the_dataset(owner: Visitor) -> None:
    owner.open("/new")
    owner.drop(owner.place.small)
    owner.sees("pets.zip is here")
    assert owner.input("dataset.uri").input_value().startswith("upload://")


def test_a_plan_tells_what_is_in_the_file_and_starts_nothing(owner: Visitor) -> None:
    n_before = owner.place.n_jobs()
    owner.ask_for(owner.place.small, **QUICK)
    owner.press("Look at it first")
    owner.sees("6 images would stand for 36 training images")
    owner.expect(owner.page.get_by_role("row", name="cat 12 4")).to_be_visible()
    assert owner.place.n_jobs() == n_before


def test_a_planned_job_is_started_and_watched_to_its_end_without_a_reload(owner: Visitor) -> None:
    owner.ask_for(owner.place.small, **QUICK)
    owner.press("Look at it first")
    owner.sees("What the job would be")
    owner.press("Start the job")
    owner.expect(owner.page.get_by_role("heading", name="Stages")).to_be_visible()
    n_pages = len(owner.traffic.pages)
    owner.expect(owner.state()).to_have_text("succeeded")
    owner.expect(owner.page.get_by_role("status")).to_contain_text("Done in")
    owner.expect(owner.page.locator(".images img")).to_have_count(6)
    assert len(owner.traffic.pages) == n_pages


def test_a_job_starts_from_an_old_one_with_one_thing_changed(owner: Visitor, finished: str) -> None:
    owner.open(f"/jobs/{finished}")
    owner.page.get_by_role("link", name="Start from this job").click()
    owner.expect(owner.input("prior.resolution")).to_have_value("8")
    owner.input("images_per_class").fill("3")
    owner.press("Look at it first")
    owner.sees("30 images would stand for 1,437 training images")


def test_a_mistake_is_told_on_top_and_beside_its_field(owner: Visitor) -> None:
    owner.open("/new")
    owner.input("dataset.uri").fill("nonsense")
    owner.press("Start the job")
    owner.expect(owner.page.get_by_role("alert")).to_contain_text("cannot be run as it is")
    owner.expect(owner.input("dataset.uri")).to_have_attribute("aria-invalid", "true")
