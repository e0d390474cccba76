"""The page of a job: what it says of one that is queued, runs, succeeded, failed, is somebody else's or was deleted."""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from sqlalchemy import text as sql
from starlette.testclient import TestClient

from api.app import create_app
from api.services import LINE_SECONDS, Services
from benchmarks import page as page_benchmark
from ddoq.archive import load_archive
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.keys import Scope
from jobs.options import JobOptions
from jobs.queue import Queue, make_celery
from jobs.records import Job, JobState
from tests.conftest import Stack, settings_of
from tests.integration.browsing import Browser, fields_of, text_of
from tests.pictures import members, write_zip
from worker.counts import Counts
from worker.draining import Flag
from worker.runner import Pause, open_bench, run_unit
from worker.work import Bench

QUICK = {
    "prior": {"kind": "pixels", "resolution": 8},
    "students": {"seeds": 2, "steps": 2, "width": 8, "batch_size": 8},
}


NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """A service with a real worker that works when it is told to, and ann before her browser."""

    app: FastAPI
    bench: Bench
    browser: Browser
    uri: str

    @property
    def services(self) -> Services:
        found: Services = self.app.state.services
        return found

    def submit(self, **asked: object) -> Job:
        body = {"dataset": {"uri": self.uri}, **QUICK, **asked}
        return self.services.store.submit("ann", DistillConfig.model_validate(body))

    def work(self, up_to: Stage | None = None) -> None:
        """Run units until there is none, or the next would be of a stage."""
        while (claim := self.bench.leases.claim("worker")) is not None:
            if claim.stage is up_to:
                self.bench.leases.give_back(claim)
                return
            run_unit(self.bench, claim, Pause())

    def finished(self, **asked: object) -> Job:
        job = self.submit(**asked)
        self.work()
        return self.services.store.get("ann", job.id)

    def see(self, job: Job, query: str = "") -> Any:
        return self.browser.open(f"/jobs/{job.id}{query}")


@pytest.fixture(scope="module")
def place(stack: Stack, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    uri = write_zip(folder / "data.zip", members(("cat", "dog", "<b>eel")))
    settings = settings_of(stack, stack.create_database(migrated), folder)
    settings = settings.model_copy(update={"file_roots": (folder,), "sweep_seconds": 3600.0})
    app = create_app(settings)
    services: Services = app.state.services
    services.objects.ensure_bucket()
    celery = make_celery(settings)
    with (
        TestClient(app, raise_server_exceptions=False) as client,
        open_bench(settings, Queue(celery), Flag(), Counts()) as bench,
    ):
        browser = Browser(client)
        secret = services.keys.create("ann", "test", tuple(Scope))[1]
        assert browser.sign_in({"Authorization": f"Bearer {secret}"}).status_code == 303
        yield Place(app, bench, browser, uri)
    celery.close()


@pytest.fixture(scope="module")
def done(place: Place) -> Job:
    """A job that has succeeded, and of which only the artifacts are left."""
    return place.finished(images_per_class=3)


@pytest.fixture(scope="module")
def sweep(place: Place) -> Job:
    return place.finished(images_per_class=[1, 2], evaluation="none")


def shown_images(page: Any) -> list[str]:
    return [urljoin(page.url.path, url) for url in re.findall(r'<img src="([^"]+/images/[^"]+)"', page.text)]


def test_a_job_that_succeeded_answers_every_question_in_order(place: Place, done: Job) -> None:
    assert done.state is JobState.SUCCEEDED, done.failure
    text = text_of(place.see(done))
    asked = ("succeeded", "Done in", "What came out", "Is it any good?", "Take it", "Why", "Exactly what was run")
    places = [text.index(words) for words in (*asked, "What happened")]
    assert places == sorted(places)


def test_every_image_is_shown_with_its_share_heaviest_first(place: Place, done: Job) -> None:
    page = place.see(done)
    assert len(shown_images(page)) == 9
    of_classes = [part.split("</section>")[0] for part in page.text.split('<section class="class"')[1:]]
    shares = [[float(share) for share in re.findall(r">([\d.]+)%", part)] for part in of_classes]
    assert [len(found) for found in shares] == [3, 3, 3]
    assert all(found == sorted(found, reverse=True) and 99 < sum(found) < 101 for found in shares)


def test_the_images_are_those_of_the_archive(place: Place, done: Job, tmp_path: Path) -> None:
    archive = place.browser.open(f"/jobs/{done.id}/files/archive.zip").content
    (tmp_path / "archive.zip").write_bytes(archive)
    assert load_archive(tmp_path / "archive.zip").images.shape[0] == 9
    for url in shown_images(place.see(done)):
        image = place.browser.open(url)
        assert image.headers["content-type"] == "image/png"
        assert image.content in archive


def test_an_image_is_kept_by_the_browser_for_good(place: Place, done: Job) -> None:
    url = shown_images(place.see(done))[0]
    image = place.browser.open(url)
    assert image.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = place.browser.client.get(url, headers={"If-None-Match": image.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("place_of", "status"), [("ipc-3/0/3", 404), ("ipc-3/3/0", 404), ("ipc-3/x/0", 422), ("ipc-3/-1/0", 422)]
)
def test_an_image_that_there_cannot_be_is_refused(place: Place, done: Job, place_of: str, status: int) -> None:
    assert place.browser.open(f"/jobs/{done.id}/images/{place_of}").status_code == status


def test_the_accuracies_come_with_deviations_and_words(place: Place, done: Job) -> None:
    text = text_of(place.see(done))
    mean, deviation = (100 * done.figures[f"accuracy.random real.{part}"] for part in ("mean", "deviation"))
    assert f"random real {mean:.1f} ± {deviation:.1f}" in text
    assert re.search(r"random real \S+ ± \S+ \S+ ± \S+ (not distinguishable|distilled is (better|worse))", text)
    assert "random real images" in text


def test_the_archive_is_offered_with_size_checksum_and_how_to_load_it(place: Place, done: Job) -> None:
    (archive,) = (each for each in place.services.store.artifacts("ann", done.id) if each.name == "archive.zip")
    text = text_of(place.see(done))
    assert archive.sha256 in text
    assert 'archive = ddoq.load_archive("archive.zip")' in text
    url = f"/jobs/{done.id}/files/archive.zip"
    whole = place.browser.open(url)
    assert hashlib.sha256(whole.content).hexdigest() == archive.sha256
    part = place.browser.client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


def test_plots_are_drawings_in_which_nothing_runs(place: Place, done: Job) -> None:
    urls = re.findall(r'<img src="(/jobs/[^"]+/plots/[^"]+)"', place.see(done).text)
    assert {url.rpartition("/")[2] for url in urls} >= {"accuracy.svg", "weights.svg"}
    for plot in map(place.browser.open, urls):
        assert plot.headers["content-type"].startswith("image/svg+xml")
        assert "script-src" not in plot.headers["content-security-policy"]
        assert plot.headers["content-security-policy"].startswith("default-src 'none'")
    assert place.browser.open(f"/jobs/{done.id}/plots/report.html").status_code == 404


def test_the_config_that_is_offered_makes_the_same_job(place: Place, done: Job) -> None:
    page = place.see(done)
    assert "curl http://testserver/v1/jobs" in text_of(page)
    body = place.browser.open(f"/jobs/{done.id}/config.json").json()
    assert DistillConfig.model_validate(body) == done.config


def test_what_computed_the_files_is_told_as_in_the_archive(place: Place, done: Job) -> None:
    told = place.browser.open(f"/jobs/{done.id}/files/provenance.json").json()
    assert list(told) == [*done.config.stages]
    versions = ", ".join(f"{name} {number}" for name, number in told["train"][0]["versions"].items())
    assert f"computed by {versions} on {told['train'][0]['device']}" in text_of(place.see(done))


def test_names_of_classes_stay_text(place: Place, done: Job) -> None:
    page = place.see(done)
    assert "<b>" not in page.text
    assert "&lt;b&gt;" in page.text


def test_a_job_of_a_thousand_classes_stays_light(place: Place, tmp_path: Path) -> None:
    made = page_benchmark.make(1000, 10)
    making = page_benchmark.Place(place.services.store, place.bench.leases, place.services.objects, tmp_path)
    claim = making.reach("ann", Stage.PACKAGE, made)
    place.bench.leases.finish(claim, page_benchmark.package(making, claim, made))
    page = place.browser.open(f"/jobs/{claim.job_id}?page=2")
    assets = [place.browser.open(url).content for url in re.findall(r'(?:href|src)="(/page/[^"]+)"', page.text)]
    assert len(assets) == 3  # one stylesheet, one script, one icon
    assert len(page.content) + sum(map(len, assets)) < 40_000
    assert "Page 2 of 84" in text_of(page)
    last = place.browser.open(f"/jobs/{claim.job_id}?class=0999")
    assert re.findall(r"<h3><a [^>]*>([^<]+)</a></h3>", last.text) == ["class 0999 of the dataset"]


def test_an_ended_job_asks_for_no_more_news(place: Place, done: Job) -> None:
    assert "data-live" not in place.see(done).text


def test_a_class_is_found_by_a_part_of_its_name(place: Place, done: Job) -> None:
    page = place.see(done, "?class=DO")
    assert re.findall(r"<h3><a [^>]*>(\w+)</a></h3>", page.text) == ["dog"]
    assert "1 of 3 classes" in text_of(page)


def test_a_class_has_a_page_of_its_own(place: Place, done: Job) -> None:
    page = place.browser.open(f"/jobs/{done.id}/classes/2")
    assert len(shown_images(page)) == 3
    assert "dog" in text_of(page)
    assert place.browser.open(f"/jobs/{done.id}/classes/3").status_code == 404


def test_each_budget_of_a_sweep_has_its_images_and_files(place: Place, sweep: Job) -> None:
    for budget, n in (("ipc-1", 3), ("ipc-2", 6)):
        page = place.see(sweep, f"?budget={budget}")
        assert len(shown_images(page)) == n
        assert f"{budget}-archive.zip" in page.text
        assert {place.browser.open(url).status_code for url in shown_images(page)} == {200}
    assert shown_images(place.see(sweep)) == shown_images(place.see(sweep, "?budget=ipc-1"))


def test_a_job_that_compared_nothing_says_so(place: Place, sweep: Job) -> None:
    assert "Nothing was compared" in text_of(place.see(sweep))


def test_images_appear_while_the_job_still_runs(place: Place) -> None:
    job = place.submit(images_per_class=2)
    time.sleep(LINE_SECONDS)  # until the line is none of before
    assert "Waiting for a worker, number 1 in line." in text_of(place.see(job))
    place.work(up_to=Stage.GENERATE)
    before = place.see(job)
    assert (shown_images(before), "Not made yet." in text_of(before)) == ([], True)
    place.work(up_to=Stage.TRAIN)
    page = place.see(job)
    assert len(shown_images(page)) == 6
    growing = [place.browser.open(url).content for url in shown_images(page)]
    assert "data-live" in page.text
    place.work()
    after = place.see(job)
    assert [place.browser.open(url).content for url in shown_images(after)] == growing
    assert shown_images(after) == shown_images(page)


def test_a_failure_comes_first_with_its_hint_and_code(place: Place) -> None:
    job = place.finished(images_per_class=500)
    page = place.see(job)
    text = text_of(page)
    assert job.failure
    told = f"C{job.failure.message[1:]}."
    assert text.index(told) < text.index("Stages")
    assert "What to do: Lower images_per_class , or leave the class out." in text
    assert job.failure.code in text
    assert 'role="alert"' in page.text


def test_a_job_that_has_just_ended_says_how_long_its_files_are_kept(place: Place) -> None:
    job = place.finished(images_per_class=1, evaluation="none")
    days = timedelta(days=place.services.settings.retention_days)
    until = f"{(job.finished_at or NEVER) + days:%Y-%m-%d %H:%M} UTC"
    assert f"files kept until {until}" in text_of(place.see(job))
    with place.services.engine.begin() as connection:
        connection.execute(sql("UPDATE jobs SET expires_at = '2040-01-02 03:04Z' WHERE id = :id"), {"id": job.id})
    assert "files kept until 2040-01-02 03:04 UTC" in text_of(place.see(job))


def test_a_job_that_failed_promises_no_files(place: Place) -> None:
    assert "kept until" not in text_of(place.see(place.finished(images_per_class=500)))


def test_a_new_job_starts_from_an_old_one(place: Place) -> None:
    labels = {"campaign": "spring"}
    config = DistillConfig.model_validate({"dataset": {"uri": place.uri}, **QUICK, "images_per_class": [1, 2]})
    old = place.services.store.submit("ann", config, JobOptions(labels=labels))
    place.browser.send(f"/jobs/{old.id}/cancel")
    link = re.search(r'href="(/new\?from=[^"]+)"', place.see(old).text)
    assert link
    sent = place.browser.send("/new", **fields_of(place.browser.open(link[1])) | {"act": "start", "seed": "7"})
    made = place.services.store.get("ann", sent.headers["location"].rpartition("/")[2])
    assert made.config == old.config.model_copy(update={"seed": 7})
    assert dict(made.labels) == labels
    place.browser.send(f"/jobs/{made.id}/cancel")


def test_what_no_form_can_say_of_an_old_job_is_owned_up_to(place: Place) -> None:
    odd = {"uri": place.uri, "class_map": {"a = b": "c"}}
    job = place.services.store.submit("ann", DistillConfig.model_validate({"dataset": odd}))
    place.browser.send(f"/jobs/{job.id}/cancel")
    assert "Not all of it fits a form" in text_of(place.browser.open(f"/new?from={job.id}"))
    plain = place.submit()
    place.browser.send(f"/jobs/{plain.id}/cancel")
    assert "Not all of it fits a form" not in text_of(place.browser.open(f"/new?from={plain.id}"))


def test_trying_again_makes_one_job_however_often_the_form_is_sent(place: Place) -> None:
    job = place.finished(images_per_class=500)
    once = re.search(r'name="once" value="(\w+)"', place.see(job).text)
    assert once
    sent = [place.browser.send(f"/jobs/{job.id}/retry", once=once[1]) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [303, 303]
    assert sent[0].headers["location"] == sent[1].headers["location"] != f"/jobs/{job.id}"
    assert f"another try of {job.id}" in text_of(place.browser.open(sent[0].headers["location"]))
    place.work()


def test_a_queued_job_is_cancelled_and_then_deleted(place: Place) -> None:
    job = place.submit(images_per_class=2)
    assert place.browser.send(f"/jobs/{job.id}/cancel").headers["location"] == f"/jobs/{job.id}"
    page = place.see(job)
    assert "Cancelled after" in text_of(page)
    assert f"/jobs/{job.id}/cancel" not in page.text
    assert "Delete this job?" in text_of(place.browser.open(f"/jobs/{job.id}/delete"))
    assert place.browser.send(f"/jobs/{job.id}/delete").headers["location"] == "/"
    assert place.see(job).status_code == 410


def test_cancelling_what_has_ended_shows_how_it_ended(place: Place, done: Job) -> None:
    assert place.browser.send(f"/jobs/{done.id}/cancel").headers["location"] == f"/jobs/{done.id}"
    assert place.services.store.get("ann", done.id).state is JobState.SUCCEEDED


def test_a_running_job_is_not_deleted(place: Place) -> None:
    job = place.submit(images_per_class=2)
    assert place.browser.send(f"/jobs/{job.id}/delete").status_code == 409
    place.browser.send(f"/jobs/{job.id}/cancel")


@pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
def test_forms_of_other_pages_change_nothing(place: Place, done: Job, action: str) -> None:
    path = f"/jobs/{done.id}/{action}"
    assert place.browser.send(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert place.browser.send(path, form_token="0" * 64).status_code == 403
    assert place.services.store.get("ann", done.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    "path", ["", "/images/ipc-3/0/0", "/files/archive.zip", "/plots/weights.svg", "/config.json", "/classes/0"]
)
def test_somebody_elses_job_is_not_there(place: Place, done: Job, path: str) -> None:
    bobs = Browser(TestClient(place.app))
    secret = place.services.keys.create("bob", "test", tuple(Scope))[1]
    assert bobs.sign_in({"Authorization": f"Bearer {secret}"}).status_code == 303
    assert bobs.open(f"/jobs/{done.id}{path}").status_code == 404
    assert bobs.open(f"/compare?a={done.id}&b={done.id}").status_code == 404
    assert bobs.open(f"/new?from={done.id}").status_code == 404
    unknown = Browser(TestClient(place.app)).open(f"/jobs/{done.id}{path}")
    assert unknown.url.path == "/sign-in"


def test_a_key_that_may_only_look_is_offered_no_change(place: Place, done: Job) -> None:
    looking = Browser(TestClient(place.app))
    secret = place.services.keys.create("ann", "test", (Scope.JOBS_READ,))[1]
    assert looking.sign_in({"Authorization": f"Bearer {secret}"}).status_code == 303
    page = looking.open(f"/jobs/{done.id}")
    assert page.status_code == 200
    assert not re.search(r"/(retry|delete|cancel|new)\b", page.text)


def test_two_jobs_are_compared_config_first(place: Place, done: Job) -> None:
    other = place.finished(images_per_class=2, method="random", canvas="real")
    text = text_of(place.browser.open(f"/compare?a={done.id}&b={other.id}"))
    assert re.search(r"images_per_class 3 2 method ddoq random", text)
    assert re.search(r"coverage [\d.]+% [\d.]+% size of the distilled set [\d.,]+ \w+ ", text)
    assert text.index("images_per_class") < text.index("Test accuracy, %") < text.index("The images")
    assert re.search(r"distilled \S+ ± \S+ \S+ ± \S+ (no more than noise|[AB] is better) \(", text)


def test_images_of_the_same_class_are_side_by_side(place: Place, done: Job, sweep: Job) -> None:
    page = place.browser.open(f"/compare?a={done.id}&b={sweep.id}&budget_b=ipc-2&class=dog")
    urls = shown_images(page)
    assert [url.startswith(f"/jobs/{done.id}/images/ipc-3/2/") for url in urls] == [True] * 3 + [False] * 2
    assert all(url.startswith(f"/jobs/{sweep.id}/images/ipc-2/2/") for url in urls[3:])


def test_accuracies_of_other_students_are_not_judged(place: Place, done: Job) -> None:
    students = QUICK["students"] | {"steps": 3}
    other = place.finished(images_per_class=3, students=students)
    text = text_of(place.browser.open(f"/compare?a={done.id}&b={other.id}"))
    assert "these accuracies do not compare" in text
    assert not re.search(r"[AB] is better|no more than noise", text)


def test_jobs_are_chosen_from_a_list(place: Place, done: Job) -> None:
    page = place.browser.open(f"/compare?a={done.id}")
    assert f'<option value="{done.id}" selected>' in page.text
    assert place.browser.open("/compare?a=nothing").status_code == 404


def test_expired_files_are_told_and_the_rest_stays(place: Place) -> None:
    job = place.finished(images_per_class=1, evaluation="none")
    with place.services.engine.begin() as connection:
        connection.execute(sql("UPDATE jobs SET expires_at = now() - interval '1 day' WHERE id = :id"), {"id": job.id})
    text = text_of(place.see(job))
    assert "There are no images any more" in text
    assert "Exactly what was run" in text
