"""The page of a job through Chromium: finished, running and cancelled, failed."""

from hashlib import sha256

import pytest

from tests.page.visiting import QUICK, Visitor

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]


def test_each_image_is_shown_with_its_share_of_the_class_heaviest_first(owner: Visitor, finished: str) -> None:
    owner.open(f"/jobs/{finished}")
    shares = [float(item.removesuffix("%")) for item in owner.page.locator("#class-0 .images li").all_inner_texts()]
    assert (len(shares), shares) == (10, sorted(shares, reverse=True))
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_every_image_on_the_page_can_be_drawn(owner: Visitor, finished: str) -> None:
    owner.open(f"/jobs/{finished}")
    widths = owner.draw_images().evaluate_all("images => images.map(image => image.naturalWidth)")
    assert (len(widths) > 100, min(widths) > 0) == (True, True)  # ten of each digit, and plots


def test_the_downloaded_archive_has_the_checksum_that_the_page_gives(owner: Visitor, finished: str) -> None:
    owner.open(f"/jobs/{finished}")
    with owner.page.expect_download() as download:
        owner.page.get_by_role("link", name="Download archive.zip").click()
    assert sha256(download.value.path().read_bytes()).hexdigest() == owner.page.locator("#sum").inner_text()


def test_images_appear_while_a_job_runs(owner: Visitor, slow: str) -> None:
    owner.open(f"/jobs/{slow}")
    owner.expect(owner.page.locator(".images img")).to_have_count(6)
    owner.expect(owner.state()).to_have_text("running")


def test_a_running_job_is_cancelled_and_the_page_says_so_by_itself(owner: Visitor, slow: str) -> None:
    owner.open(f"/jobs/{slow}")
    owner.expect(owner.page.locator(".stages .running")).to_contain_text("train students")
    owner.press("Cancel")
    owner.expect(owner.page.get_by_role("button", name="Cancel")).to_have_count(0)
    n_pages = len(owner.traffic.pages)
    owner.expect(owner.state()).to_have_text("cancelled")
    assert len(owner.traffic.pages) == n_pages


def test_a_failed_job_says_its_sentence_before_all_else(owner: Visitor) -> None:
    job_id = owner.place.submit(owner.place.small, **{**QUICK, "images_per_class": 100})
    assert owner.place.end_of(job_id) == "failed"
    sentence = owner.place.ask("GET", f"/v1/jobs/{job_id}")["error"]["message"]
    owner.open(f"/jobs/{job_id}")
    assert "12 " in sentence
    shown = owner.page.get_by_role("main").inner_text()
    assert shown.startswith(f"{sentence[0].upper()}{sentence[1:]}.")
    owner.expect(owner.page.get_by_role("alert")).to_contain_text("What to do:")


def test_two_jobs_are_compared_side_by_side(owner: Visitor, finished: str) -> None:
    other = owner.place.submit(owner.place.small, **QUICK)
    assert owner.place.end_of(other) == "succeeded"
    owner.open(f"/jobs/{finished}")
    owner.page.get_by_role("link", name="Compare", exact=True).last.click()
    owner.page.get_by_label("Job B").select_option(other)
    owner.press("Compare")
    for job_id in (finished, other):
        owner.expect(owner.page.get_by_role("link", name=job_id)).to_be_visible()
