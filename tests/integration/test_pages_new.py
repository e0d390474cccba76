"""The form of a new job: a plan first, mistakes beside their fields, one job however often it is sent; a file sent."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.services import Services
from jobs.keys import Scope
from jobs.records import Job
from jobs.store import JobFilter
from tests.integration.browsing import OWN, Browser, text_of
from tests.integration.test_pages_policy import MOST_BYTES
from tests.pictures import members, write_tar, write_zip

Headers = dict[str, str]
SMALL = {"images_per_class": "2", "prior.resolution": "16"}


@pytest.fixture
def flowers(tmp_path: Path) -> str:
    return write_zip(tmp_path / "flowers.zip", members())


def anns_jobs(services: Services) -> list[Job]:
    return list(services.store.page("ann", JobFilter(), None, 100)[0])


def fill(browser: Browser, act: str, uri: str, **texts: str) -> Any:
    return browser.send("/new", act=act, once="once", **{"dataset.uri": uri, **SMALL, **texts})


def value_of(page: Any, name: str) -> str:
    found = re.search(rf'<input[^>]* name="{re.escape(name)}"[^>]* value="([^"]*)"', page.text)
    assert found, name
    return found[1]


def test_a_plan_is_shown_and_nothing_is_stored(anns: Browser, services: Services, flowers: str) -> None:
    page = fill(anns, "plan", flowers)
    words = text_of(page)
    assert page.status_code == 200
    assert "6 images would stand for 36 training images" in words
    assert re.search(r"\bcat 12 4 dog 12 4 eel 12 4\b", words)
    assert "quantize" in words
    assert value_of(page, "dataset.uri") == flowers
    assert anns_jobs(services) == []


def test_a_plan_is_light_whatever_the_form_shows(anns: Browser, tmp_path: Path) -> None:
    names = tuple(f"class {number:04d} of the dataset" for number in range(30))
    settings = {"prior.kind": "fit", "was.prior.kind": "fit", "teacher.kind": "train", "was.teacher.kind": "train"}
    page = fill(
        anns, "plan", write_zip(tmp_path / "many.zip", members(names)), **settings, **{"prior.resolution": "32"}
    )
    assert "10 more classes" in text_of(page)
    urls = re.findall(r'(?:src|href)="(/page/[^"]*)"', page.text)
    assert sum(len(anns.client.get(url).content) for url in urls) + len(page.content) < MOST_BYTES


def test_the_form_starts_the_job_that_it_describes(anns: Browser, services: Services, flowers: str) -> None:
    answer = fill(anns, "start", flowers, **{"students.seeds": "2", "job.labels": "campaign = spring"})
    (job,) = anns_jobs(services)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job.id}")
    assert (job.config.dataset.uri, job.config.images_per_class, job.config.students.seeds) == (flowers, 2, 2)
    assert job.config.prior.resolution == 16
    assert dict(job.labels) == {"campaign": "spring"}


def test_a_form_that_is_sent_twice_makes_one_job_and_a_changed_one_another(
    anns: Browser, services: Services, flowers: str
) -> None:
    first, again = fill(anns, "start", flowers), fill(anns, "start", flowers)
    assert first.headers["location"] == again.headers["location"]
    assert fill(anns, "start", flowers, seed="5").headers["location"] != first.headers["location"]
    assert len(anns_jobs(services)) == 2


def test_each_form_is_another_job(anns: Browser) -> None:
    assert value_of(anns.open("/new"), "once") != value_of(anns.open("/new"), "once")


@pytest.mark.parametrize("act", ["plan", "start"])
def test_mistakes_stand_beside_their_fields_and_all_that_was_filled_in_is_kept(
    anns: Browser, services: Services, flowers: str, act: str
) -> None:
    page = fill(anns, act, flowers, **{"images_per_class": "5000", "students.seeds": "99", "seed": "7"})
    assert page.status_code == 422
    for name in ("images_per_class", "students.seeds"):
        (tag,) = re.findall(rf'<input[^>]* id="{re.escape(name)}"[^>]*>', page.text)
        assert 'aria-invalid="true"' in tag
        (place,) = re.findall(r'aria-describedby="h\w+ (f\w+)"', tag)
        assert f'<p class="fault" id="{place}">Input should be less than or equal to' in page.text
        assert f'<a href="#{name}">' in page.text
    assert page.text.count('aria-invalid="true"') == 2
    assert [value_of(page, name) for name in ("images_per_class", "students.seeds", "seed")] == ["5000", "99", "7"]
    assert anns_jobs(services) == []


def test_a_dataset_that_nobody_named_is_asked_for_beside_its_field(anns: Browser) -> None:
    page = fill(anns, "start", "")
    assert (page.status_code, text_of(page).count("This is needed.")) == (422, 2)
    assert re.search(r'name="dataset\.uri"[^>]* aria-invalid="true"', page.text)


def test_what_is_refused_of_the_dataset_stands_beside_its_address(anns: Browser, flowers: str) -> None:
    page = fill(anns, "plan", f"{flowers}.gone")
    assert page.status_code == 422
    assert '<a href="#dataset.uri">' in page.text
    assert "dataset.not_found" in text_of(page)


def test_parts_that_do_not_fit_together_are_said_on_top(anns: Browser, flowers: str) -> None:
    page = fill(anns, "start", flowers, method="ddoq", canvas="real", **{"sampler.steps": "20"})
    assert page.status_code == 422
    assert "Canvas &#39;real&#39;" in page.text
    assert "aria-invalid" not in page.text


def test_another_kind_of_prior_shows_its_own_settings(anns: Browser, services: Services) -> None:
    shown = {"prior.kind": "vae", "was.prior.kind": "pixels", "seed": "3"}
    page = fill(anns, "show", "", **shown)
    assert page.status_code == 200
    assert 'name="prior.model"' in page.text
    assert value_of(page, "prior.resolution") == "256"
    assert value_of(page, "was.prior.kind") == "vae"
    assert value_of(page, "seed") == "3"
    assert anns_jobs(services) == []


def test_a_hostile_text_stays_a_text(anns: Browser) -> None:
    page = fill(anns, "plan", '"><script>alert(1)</script>', **{"prior.kind": "<b>", "job.labels": "</textarea><b>"})
    assert page.status_code == 422
    assert "<script>alert" not in page.text
    assert "</textarea><b>" not in page.text


def test_who_may_only_look_gets_no_form(browser: Browser, key_for: Callable[..., Headers]) -> None:
    browser.sign_in(key_for("ann", Scope.JOBS_READ))
    page = browser.open("/new")
    assert page.status_code == 403
    assert "jobs:write" in text_of(page)
    assert fill(browser, "start", "s3://datasets/flowers.zip").status_code == 403


def test_a_form_without_its_token_starts_nothing(anns: Browser, services: Services, flowers: str) -> None:
    assert fill(anns, "start", flowers, form_token="0" * 64).status_code == 403
    assert anns_jobs(services) == []


def send_file(browser: Browser, content: bytes, **headers: str) -> Any:
    sent = {"X-Form-Token": browser.proof(), **OWN, **headers}
    return browser.client.post("/page/uploads?filename=flowers.tar.gz", content=content, headers=sent)


def test_a_file_that_a_page_sends_is_the_dataset_of_a_job(anns: Browser, tmp_path: Path) -> None:
    write_tar(tmp_path / "flowers.tar.gz", members(), "w:gz")
    answer = send_file(anns, (tmp_path / "flowers.tar.gz").read_bytes())
    assert answer.status_code == 201
    upload = answer.json()
    assert (upload["state"], upload["filename"]) == ("ready", "flowers.tar.gz")
    assert "6 images would stand for 36 training images" in text_of(fill(anns, "plan", upload["uri"]))


@pytest.mark.parametrize("headers", [{"X-Form-Token": "0" * 64}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
def test_a_file_of_another_site_is_not_taken(anns: Browser, services: Services, headers: Headers) -> None:
    answer = send_file(anns, b"bytes", **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "session.foreign_form")
    assert services.uploads.page("ann", None, 10)[0] == []


def test_a_file_that_is_refused_leaves_nothing(anns: Browser, services: Services) -> None:
    answer = send_file(anns, b"")
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
    cut = send_file(anns, b"half", **{"Content-Length": "8"})
    assert cut.json()["code"] == "upload.incomplete"
    assert services.uploads.page("ann", None, 10)[0] == []
