"""The list of jobs as people see it."""

import re
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from api.services import Services
from jobs.keys import Scope
from jobs.records import Claim
from jobs.upload_uses import names_of_uploads
from tests.integration.browsing import Browser, text_of
from tests.integration.conftest import CONFIG

Headers = dict[str, str]


def submit(client: TestClient, headers: Headers, n: int = 1, **labels: str) -> list[str]:
    body = {**CONFIG, "job": {"labels": labels}}
    return [client.post("/v1/jobs", json=body, headers=headers).json()["id"] for _ in range(n)]


def jobs_on(page: str) -> list[str]:
    return re.findall(r'<tr id="(job_\w+)">', page)


def test_who_has_no_job_is_told_what_to_do_first(anns: Browser) -> None:
    page = anns.open("/")
    assert "No jobs yet" in text_of(page)
    assert '<a class="button" href="/new">Make the first job</a>' in page.text


def test_who_may_only_look_is_not_offered_to_change(browser: Browser, key_for: Callable[..., Headers]) -> None:
    browser.sign_in(key_for("ann", Scope.JOBS_READ))
    page = browser.open("/")
    assert 'href="/new"' not in page.text
    assert "jobs:write" in text_of(page)


def test_jobs_are_listed_newest_first_with_what_they_are_about(anns: Browser, ann: Headers) -> None:
    old, new = submit(anns.client, ann), submit(anns.client, ann, campaign="spring")
    page = anns.open("/")
    assert jobs_on(page.text) == [*new, *old]
    words = text_of(page)
    assert words.count("queued, position") == 2
    assert words.count("s3://datasets/flowers.zip") == 2
    assert "campaign: spring" in words


@pytest.mark.usefixtures("claim")
def test_a_job_that_runs_shows_its_state_and_how_far_it_is(anns: Browser) -> None:
    page = anns.open("/")
    assert '<span class="state running">running</span>' in page.text
    assert re.search(r"read, 0 of \d stages done", text_of(page))


def test_jobs_of_others_are_not_listed(anns: Browser, bob: Headers) -> None:
    (bobs,) = submit(anns.client, bob)
    assert bobs not in anns.open("/").text


def test_a_state_and_a_label_choose_which_jobs_are_listed(anns: Browser, ann: Headers) -> None:
    (plain,), (labelled,) = submit(anns.client, ann), submit(anns.client, ann, campaign="spring")
    anns.client.post(f"/v1/jobs/{plain}/cancel", headers=ann)
    assert jobs_on(anns.open("/?state=cancelled").text) == [plain]
    assert jobs_on(anns.open("/?state=queued").text) == [labelled]
    assert jobs_on(anns.open("/?label=campaign:spring").text) == [labelled]
    nothing = anns.open("/?state=failed")
    assert jobs_on(nothing.text) == []
    assert "No job is like that" in text_of(nothing)


def test_links_lead_through_all_pages_of_the_list(anns: Browser, ann: Headers) -> None:
    made, seen, link = submit(anns.client, ann, 5), [], "/?state=queued&limit=2"
    while link:
        page = anns.open(link).text
        seen += jobs_on(page)
        found = re.search(r'<a href="([^"]*)" rel="next">', page)
        link = found[1].replace("&amp;", "&") if found else ""
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["state=happy", "cursor=wrong", "limit=0", "unknown=1"])
def test_a_wrong_address_is_answered_with_a_page(anns: Browser, query: str) -> None:
    page = anns.open(f"/?{query}")
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")
    assert "request." in text_of(page)


def test_hostile_texts_stay_texts(anns: Browser, ann: Headers) -> None:
    uri = 's3://datasets/"><script>alert(1)</script>'
    assert anns.client.post("/v1/jobs", json={"dataset": {"uri": uri}}, headers=ann).status_code == 202
    page = anns.open("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_dataset_of_an_upload_is_shown_by_the_name_of_its_file(
    anns: Browser, ann: Headers, services: Services, bob: Headers
) -> None:
    upload = anns.client.post("/v1/uploads", json={"filename": "<b>flowers.zip"}, headers=ann).json()
    assert anns.client.put(f"{upload['links']['self']}/content", content=b"a zip", headers=ann).status_code == 200
    body = {**CONFIG, "dataset": {"uri": upload["uri"]}}
    job_id = anns.client.post("/v1/jobs", json=body, headers=ann).json()["id"]
    anns.client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    for path in ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/delete", f"/compare?a={job_id}&b={job_id}"):
        assert "<b>flowers.zip" in text_of(anns.open(path))
    assert names_of_uploads(services.engine, "bob", [upload["uri"]]) == {}


def test_the_list_is_live_only_while_a_job_has_not_ended(anns: Browser, ann: Headers) -> None:
    (job_id,) = submit(anns.client, ann)
    assert " data-live" in anns.open("/").text
    anns.client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    assert " data-live" not in anns.open("/").text


def test_a_job_of_this_list_is_known_by_its_claim(anns: Browser, claim: Claim) -> None:
    assert jobs_on(anns.open("/?state=running").text) == [claim.job_id]
