"""Events of a job as a stream: replayed, followed, cut off, and over."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api import streams
from api.services import Services
from jobs.leases import Leases
from jobs.records import Claim
from jobs.rows import lock_job, record
from jobs.states import EventKind
from tests.integration.live import serve

Headers = dict[str, str]
WrongIn = Callable[[Any, int, str], str]
STREAM = {"Accept": "text/event-stream"}
N_EVENTS, N_CUTS = 400, 50


def happen(services: Services, job_id: str, n_events: int) -> None:
    """Let units of a job begin again and again."""
    for number in range(n_events):
        with services.engine.begin() as connection:
            record(connection, lock_job(connection, job_id), EventKind.UNIT_STARTED, {"number": number})


def parse(text: str) -> Iterator[dict[str, str]]:
    """Read the frames of a stream that are whole, comments left out."""
    for frame in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
        if fields:
            yield fields


def events_in(text: str) -> list[tuple[int, str]]:
    return [(int(frame["id"]), frame["event"]) for frame in parse(text) if "id" in frame]


@pytest.fixture
def path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/events"


@pytest.fixture
def ended(client: TestClient, ann: Headers, job_id: str, path: str) -> str:
    """The events of a job that was cancelled."""
    client.post(f"/v1/jobs/{job_id}/cancel", headers=ann)
    return path


def test_a_stream_says_what_the_list_says_and_ends_with_the_job(client: TestClient, ann: Headers, ended: str) -> None:
    listed = client.get(ended, headers=ann).json()["data"]
    response = client.get(ended, headers=ann | STREAM)
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = [frame for frame in parse(response.text) if "id" in frame]
    assert [json.loads(frame["data"]) for frame in frames] == listed
    assert [(int(frame["id"]), frame["event"]) for frame in frames] == [(e["sequence"], e["kind"]) for e in listed]


def test_a_stream_says_when_to_come_again(client: TestClient, ann: Headers, ended: str) -> None:
    assert next(parse(client.get(ended, headers=ann | STREAM).text)) == {"retry": "2000"}


@pytest.mark.parametrize(("query", "header"), [("?after=1", {}), ("", {"Last-Event-ID": "1"})])
def test_a_stream_goes_on_behind_what_the_caller_has(
    client: TestClient, ann: Headers, ended: str, query: str, header: Headers
) -> None:
    assert events_in(client.get(ended + query, headers=ann | STREAM | header).text) == [(2, "cancelled")]


def test_the_last_event_wins_over_the_query(client: TestClient, ann: Headers, ended: str) -> None:
    headers = {**ann, **STREAM, "Last-Event-ID": "0"}
    assert len(events_in(client.get(f"{ended}?after=1", headers=headers).text)) == 2


def test_who_has_all_events_of_an_ended_job_need_not_come_again(client: TestClient, ann: Headers, ended: str) -> None:
    response = client.get(ended, headers={**ann, **STREAM, "Last-Event-ID": "2"})
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("last", ["-1", "x", "99999999999"])
def test_a_last_event_that_is_none_is_refused(
    client: TestClient, ann: Headers, path: str, wrong_in: WrongIn, last: str
) -> None:
    assert not wrong_in(client.get(path, headers={**ann, **STREAM, "Last-Event-ID": last}), 422, "request.invalid")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/event-stream;q=0.5"])
def test_who_does_not_ask_for_a_stream_gets_a_list(client: TestClient, ann: Headers, path: str, accept: str) -> None:
    response = client.get(path, headers={**ann, "Accept": accept})
    assert (response.headers["content-type"], response.headers["vary"]) == ("application/json", "Accept")


def test_a_full_page_of_events_leads_to_the_next(client: TestClient, ann: Headers, ended: str) -> None:
    first = client.get(f"{ended}?limit=1", headers=ann)
    assert first.headers["link"] == f'<{ended}?after=1&limit=1>; rel="next"'
    assert client.get(first.links["next"]["url"], headers=ann).json()["data"][0]["kind"] == "cancelled"


def test_a_client_that_is_cut_off_again_and_again_loses_and_doubles_no_event(
    app: FastAPI, client: TestClient, ann: Headers, claim: Claim, services: Services, path: str
) -> None:
    rng = random.Random(7)

    def work() -> None:
        happen(services, claim.job_id, N_EVENTS)
        services.store.cancel("ann", claim.job_id)
        Leases(services.engine, 60).stop_cancelled(claim)

    seen: list[tuple[int, str]] = []
    n_cuts = 0
    worker = threading.Thread(target=work)
    with serve(app) as url, httpx.Client(base_url=url, headers=ann | STREAM, timeout=60) as http:
        worker.start()
        while True:
            last = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
            with http.stream("GET", path, headers=last) as answer:
                if answer.status_code == 204:
                    break
                budget = rng.randrange(1, 1500) if n_cuts < N_CUTS else 10**9
                seen += events_in(read_at_most(answer, budget))
            n_cuts += 1
        worker.join()
    expected = [(event.sequence, event.kind) for event in services.store.events("ann", claim.job_id, 0, 1000)]
    assert n_cuts > N_CUTS
    assert seen == expected


def read_at_most(answer: httpx.Response, n_bytes: int) -> str:
    """Read a stream to its end, or cut it off in the middle of anything."""
    text = b""
    for chunk in answer.iter_raw():
        text += chunk
        if len(text) >= n_bytes:
            break
    return text[:n_bytes].decode(errors="ignore")


def test_progress_is_told_beside_the_events(
    app: FastAPI, client: TestClient, ann: Headers, claim: Claim, services: Services, path: str
) -> None:
    Leases(services.engine, 60).report(claim, 3, 10)
    with (
        serve(app) as url,
        httpx.Client(base_url=url, headers=ann | STREAM, timeout=60) as http,
        http.stream("GET", path) as answer,
    ):
        lines = answer.iter_lines()
        while next(lines) != "event: progress":
            pass
        assert json.loads(next(lines).removeprefix("data: ")) == {"stage": "read", "done": 3, "total": 10}
        assert next(lines) == ""


def test_a_silent_stream_is_kept_alive(
    app: FastAPI, client: TestClient, ann: Headers, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    with (
        serve(app) as url,
        httpx.Client(base_url=url, headers=ann | STREAM, timeout=60) as http,
        http.stream("GET", path) as answer,
    ):
        assert ":" in answer.iter_lines()


def test_a_key_has_so_many_streams_and_no_more(
    app: FastAPI,
    client: TestClient,
    ann: Headers,
    path: str,
    services: Services,
    wrong_in: WrongIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "STREAMS_A_KEY", 1)
    with serve(app) as url, httpx.Client(base_url=url, headers=ann | STREAM, timeout=60) as http:
        with http.stream("GET", path) as answer:
            chunks = answer.iter_raw()  # kept: a reader that is forgotten closes the stream
            next(chunks)
            refused = http.get(path)
        key_id = http.get("/v1/me").json()["key_id"]
        while services.streams.n_open(key_id):
            time.sleep(0.01)
        with http.stream("GET", path) as again:
            assert again.status_code == 200
    assert not wrong_in(refused, 429, "events.too_many_streams")
    assert "retry-after" in refused.headers


def test_a_stream_of_a_job_that_is_deleted_ends(
    app: FastAPI, client: TestClient, ann: Headers, job_id: str, path: str, services: Services
) -> None:
    with serve(app) as url, httpx.Client(base_url=url, headers=ann | STREAM, timeout=60) as http:
        with http.stream("GET", path) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            services.store.cancel("ann", job_id)
            services.store.delete("ann", job_id)
            for _ in chunks:
                pass
        assert http.get(path).status_code == 410
