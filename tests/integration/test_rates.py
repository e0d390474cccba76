"""Limits on requests a minute, counted by a real server."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.services import Services
from jobs.keys import Scope, new_secret
from jobs.rates import Rates
from jobs.settings import Settings
from tests.integration.browsing import Browser, text_of

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def rates(settings: Settings) -> Iterator[Rates]:
    rates = Rates(settings.broker_url, answer_seconds=10)
    yield rates
    rates.close()


@pytest.fixture
def limited(app: FastAPI, services: Services, rates: Rates) -> None:
    """Let two reads, one write and two failures a minute pass."""
    limits = {"reads_per_minute": 2, "writes_per_minute": 1, "failed_logins_per_minute": 2}
    services.rates.close()
    app.state.services = replace(services, rates=rates, settings=services.settings.model_copy(update=limits))


def test_as_many_are_allowed_as_the_limit_says_and_then_one_when_its_time_has_come(rates: Rates) -> None:
    taken = [rates.take("reads", "ann", 2) for _ in range(3)]
    assert [(rate.is_allowed, rate.remaining) for rate in taken if rate] == [(True, 1), (True, 0), (False, 0)]
    assert [rate.retry_after_seconds for rate in taken if rate] == [0, 0, 30]


def test_a_limit_refills_as_time_passes(rates: Rates, settings: Settings) -> None:
    for _ in range(3):
        rates.take("reads", "ann", 2)
    with redis.Redis.from_url(settings.broker_url, decode_responses=True) as server:
        whole_at = float(str(server.get("ddoq:rate:reads:ann")))
        server.set("ddoq:rate:reads:ann", f"{whole_at - 30_000:.3f}")  # as if half a minute had passed
    rate = rates.take("reads", "ann", 2)
    assert rate is not None
    assert rate.is_allowed


def test_everybody_has_a_limit_of_their_own_for_each_kind(rates: Rates) -> None:
    found = [rates.take(name, whose, 1) for name in ("reads", "writes") for whose in ("ann", "bob")]
    assert all(rate and rate.is_allowed for rate in found)


def test_a_count_is_forgotten_when_it_no_longer_matters(rates: Rates, settings: Settings) -> None:
    rates.take("reads", "ann", 2)
    with redis.Redis.from_url(settings.broker_url) as server:
        assert 0 < int(str(server.pttl("ddoq:rate:reads:ann"))) <= 30_000


def test_while_the_server_is_away_nothing_is_limited_and_that_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    rates = Rates(NOWHERE)
    with caplog.at_level(logging.WARNING):
        assert [rates.take("reads", "ann", 1) for _ in range(5)] == [None] * 5
    assert len(caplog.records) == 1
    rates.close()


@pytest.mark.usefixtures("limited")
def test_every_answer_says_what_is_left(client: TestClient, ann: dict[str, str]) -> None:
    answers = [client.get("/v1/jobs", headers=ann).headers for _ in range(2)]
    assert [answer["ratelimit"] for answer in answers] == ['"reads";r=1;t=30', '"reads";r=0;t=60']
    assert answers[0]["ratelimit-policy"] == '"reads";q=2;w=60'


@pytest.mark.usefixtures("limited")
def test_who_asks_too_often_is_told_when_to_come_back(
    client: TestClient, ann: dict[str, str], bob: dict[str, str], wrong_in: Any
) -> None:
    *_, refused = [client.get("/v1/jobs", headers=ann) for _ in range(3)]
    assert not wrong_in(refused, 429, "rate.limited")
    assert 0 < int(refused.headers["retry-after"]) <= 30
    assert refused.headers["ratelimit"].startswith('"reads";r=0')
    assert client.get("/v1/jobs", headers=bob).status_code == 200


@pytest.mark.usefixtures("limited")
def test_a_second_key_of_an_owner_makes_no_more_room(client: TestClient, key_for: Any) -> None:
    keys = [key_for("ann", Scope.JOBS_READ) for _ in range(3)]
    assert [client.get("/v1/jobs", headers=key).status_code for key in keys] == [200, 200, 429]


@pytest.mark.usefixtures("limited")
def test_writes_are_counted_beside_reads(client: TestClient, ann: dict[str, str]) -> None:
    new = {"name": "a", "scopes": ["jobs:read"]}
    assert [client.post("/v1/api-keys", json=new, headers=ann).status_code for _ in range(2)] == [201, 429]
    assert client.get("/v1/jobs", headers=ann).status_code == 200


@pytest.mark.usefixtures("limited")
def test_who_tries_keys_is_slowed_down_but_not_who_has_one_at_the_same_address(
    client: TestClient, ann: dict[str, str], wrong_in: Any
) -> None:
    tried = [client.get("/v1/jobs", headers={"Authorization": f"Bearer {new_secret()}"}) for _ in range(3)]
    assert [answer.status_code for answer in tried] == [401, 401, 429]
    assert not wrong_in(tried[-1], 429, "rate.limited")
    assert client.get("/v1/jobs", headers=ann).status_code == 200


def test_what_was_let_through_unasked_is_counted_with_the_next(rates: Rates, settings: Settings) -> None:
    assert rates.take_late("reads", "ann", 600) is None  # nothing is known of ann yet
    first = rates.take("reads", "ann", 600)
    late = [rates.take_late("reads", "ann", 600) for _ in range(20)]
    assert first
    assert [rate.remaining for rate in late if rate] == [first.remaining - n for n in range(1, 21)]
    with redis.Redis.from_url(settings.broker_url, decode_responses=True) as server:
        before = float(str(server.get("ddoq:rate:reads:ann")))
        rates._ask("reads", "ann", 600)
        counted = (float(str(server.get("ddoq:rate:reads:ann"))) - before) / 100  # a request takes 100 ms of a window
    assert counted == pytest.approx(21, abs=0.01)


def test_a_process_lets_a_twentieth_of_a_limit_through_unasked_and_nothing_of_a_small_one(rates: Rates) -> None:
    for limit, most in ((600, 30), (19, 0)):
        rates.take("writes", f"owner-of-{limit}", limit)
        taken = [rates.take_late("writes", f"owner-of-{limit}", limit) for _ in range(50)]
        assert sum(rate is not None for rate in taken) == most


def test_processes_that_let_requests_through_unasked_refuse_them_at_the_limit_together(settings: Settings) -> None:
    several = [Rates(settings.broker_url, answer_seconds=10) for _ in range(3)]
    allowed = sum(
        bool((rate := each.take("reads", "ann", 200)) and rate.is_allowed) for _ in range(200) for each in several
    )
    for each in several:
        each.close()
    assert 200 <= allowed <= 200 + 3 * 10 + 10  # each process once a twentieth, and what the limit refills meanwhile


def test_a_limit_that_nobody_reaches_is_counted_too(rates: Rates) -> None:
    rate = rates.take("reads", "ann", 1_000_000_000)
    assert rate
    assert rate.is_allowed


@pytest.mark.usefixtures("limited")
def test_pages_count_against_the_limit_of_their_owner(client: TestClient, ann: dict[str, str]) -> None:
    browser = Browser(client)
    browser.sign_in(ann)
    assert [browser.open("/").status_code for _ in range(3)] == [200, 200, 429]
    refused = browser.open("/")
    assert refused.headers["retry-after"] == "30"
    assert "rate.limited" in text_of(refused)


@pytest.mark.usefixtures("limited")
def test_who_tries_keys_on_the_page_is_slowed_down(client: TestClient) -> None:
    wrong = {"Authorization": f"Bearer {new_secret()}"}
    assert [Browser(client).sign_in(wrong).status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.usefixtures("limited")
def test_who_tries_cookies_is_slowed_down(client: TestClient) -> None:
    answers = [
        client.get("/", headers={"Cookie": f"ddoq_session={number}"}, follow_redirects=False) for number in range(3)
    ]
    assert [answer.status_code for answer in answers] == [303, 303, 429]
