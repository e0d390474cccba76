"""A job followed through Chromium to its end: what arrives meanwhile, and that whoever reads is left alone."""

import pytest

from tests.page.visiting import QUICK, Visitor

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]

IN_BLOCKS = {
    "images_per_class": 20,  # of ten classes: four blocks of images that are denoised
    "prior": {"kind": "fit", "resolution": 16, "size": "small", "train_batch_size": 16, "steps": 1},
    "sampler": {"steps": 4, "strength": 1.0},
    "evaluation": "none",
}
SECONDS_LONG = {**QUICK, "students": {"seeds": 2, "steps": 300, "width": 8}}
LOW = {"width": 1200, "height": 420}


def test_images_arrive_block_by_block_while_they_are_made(owner: Visitor) -> None:
    job_id = owner.place.submit(owner.place.digits, **IN_BLOCKS)
    owner.open(f"/jobs/{job_id}")
    n_pages, images = len(owner.traffic.pages), owner.page.locator("#images")
    some = images.filter(has=owner.page.locator("#class-0 img")).filter(has_text="Not made yet.")
    owner.expect(some).to_be_visible()
    owner.expect(images.locator(".images img")).to_have_count(100)  # ten of each class are shown
    assert len(owner.traffic.pages) == n_pages
    owner.place.end_of(job_id)


def test_who_reads_keeps_the_focus_and_the_place_until_the_job_has_ended(owner: Visitor) -> None:
    job_id = owner.place.submit(owner.place.digits, **SECONDS_LONG)
    owner.page.set_viewport_size(LOW)
    owner.open(f"/jobs/{job_id}")
    events = owner.page.locator("#events summary")
    events.click()
    height = owner.page.evaluate("document.body.scrollHeight")
    owner.expect(owner.state()).to_have_text("succeeded")
    assert owner.page.evaluate("document.body.scrollHeight") > height + LOW["height"]  # most of it above the events
    owner.expect(events).to_be_focused()
    owner.expect(events).to_be_in_viewport()
    owner.expect(owner.page.locator("#events")).to_have_attribute("open", "")


def test_where_the_focused_button_goes_away_the_keyboard_stays_on_the_page(owner: Visitor, slow: str) -> None:
    owner.open(f"/jobs/{slow}")
    owner.page.get_by_role("button", name="Cancel").focus()
    owner.place.ask("POST", f"/v1/jobs/{slow}/cancel")
    owner.expect(owner.state()).to_have_text("cancelled")
    owner.expect(owner.page.get_by_role("main")).to_be_focused()


def test_nothing_is_asked_for_any_more_when_the_job_has_ended(owner: Visitor) -> None:
    job_id = owner.place.submit(owner.place.small, **QUICK)
    owner.page.clock.install()
    owner.open(f"/jobs/{job_id}")
    owner.expect(owner.state()).to_have_text("succeeded")
    n_before = len(owner.traffic.addresses)
    owner.page.clock.run_for(60_000)
    owner.draw_images()  # by when what was sent is noted
    assert [address for address in owner.traffic.addresses[n_before:] if address.endswith(job_id)] == []
