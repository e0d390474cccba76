"""Which requests of the Python client are sent again, when, and what else they end with."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ddoq_client import NotAnsweredError, NotDdoqError, ProblemError
from ddoq_client.exchange import ask, remove
from ddoq_client.jobs import retry, submit
from ddoq_client.retries import LONG, USUAL, pause_after, retry_after
from ddoq_client.steps import Answer, BrokenError, Request
from tests.flows import answer, broken, network, problem

READ = Request("GET", "/v1/me")
WRITE = Request("POST", "/v1/api-keys", is_repeatable=False)
JOB = {"id": "job_1", "status": "queued", "stage": "read", "created_at": "2026-01-01T00:00:00Z"}
RATE = problem(429, "rate.limited", retry_after="30")


@pytest.mark.parametrize(
    ("outcome", "request_", "is_repeated"),
    [
        (broken(), READ, True),
        (broken(), WRITE, False),
        (broken(was_sent=False), WRITE, True),
        (answer(502, b"<html>"), READ, True),
        (problem(503, "database.unavailable", retry_after="5"), READ, True),
        (problem(503, "database.unavailable", retry_after="5"), WRITE, False),
        (answer(504), READ, True),
        (problem(408, "request.broken_off"), READ, True),
        (RATE, READ, True),
        (RATE, WRITE, True),
        (problem(429, "queue.full", retry_after="5"), READ, False),
        (problem(429, "quota.exceeded", retry_after="5"), READ, False),
        (answer(429, b"<html>"), READ, False),
        (problem(429, "rate.limited", retry_after="3600"), READ, False),
        (answer(500), READ, False),
        (problem(404, "job.not_found"), READ, False),
        (answer(200), READ, False),
    ],
)
def test_only_what_can_do_no_harm_and_may_help_is_sent_again(
    outcome: Answer | BrokenError, request_: Request, is_repeated: bool
) -> None:
    assert (pause_after(outcome, request_, USUAL, 1, 0.5) is not None) == is_repeated


def test_patience_ends() -> None:
    pauses = [pause_after(broken(), READ, USUAL, tries, 0.5) for tries in range(1, 6)]
    assert [pause is None for pause in pauses] == [False, False, False, True, True]


def test_pauses_double_up_to_a_limit() -> None:
    pauses = [pause_after(broken(), READ, LONG, tries, 1) for tries in range(1, 9)]
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_clients_that_failed_together_do_not_come_again_together() -> None:
    assert pause_after(broken(), READ, USUAL, 1, 0) != pause_after(broken(), READ, USUAL, 1, 1)


def test_the_service_says_how_long_to_wait_at_least() -> None:
    assert pause_after(RATE, READ, USUAL, 1, 0) == 30


def test_a_moment_is_understood_as_well() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry_after(answer(503, retry_after=moment))
    assert seconds is not None
    assert 50 < seconds <= 60
    assert retry_after(answer(503, retry_after="Thu, 01 Jan 1970 00:00:00 GMT")) == 0


@pytest.mark.parametrize("said", ["soon", "-5", "1.5", "", "Thu, 01 Jan 1970 00:00:00"])
def test_what_is_not_understood_is_not_said(said: str) -> None:
    assert retry_after(answer(503, retry_after=said)) is None


def test_a_job_is_sent_again_under_the_same_name() -> None:
    there = network([broken(), answer(502), answer(202, JOB)])
    assert there.run(submit({"dataset": {"uri": "s3://d/f.zip"}}, {})).id == "job_1"
    assert len({(sent.headers["Idempotency-Key"], sent.body) for sent in there.sent}) == 1
    assert len(there.pauses) == 2


@pytest.mark.parametrize("flow", [lambda: submit({}, {}), lambda: retry("job_1")])
def test_every_job_has_a_name_of_its_own(flow) -> None:
    there = network([answer(202, JOB), answer(202, JOB)])
    for _ in range(2):
        there.run(flow())
    assert len({sent.headers["Idempotency-Key"] for sent in there.sent}) == 2


def test_a_service_that_never_answers_is_told() -> None:
    with pytest.raises(NotAnsweredError, match=r"http://service .*is the service running\?"):
        network([broken()] * USUAL.tries).run(ask(READ))


def test_a_refusal_says_what_the_problem_says() -> None:
    with pytest.raises(ProblemError) as caught:
        network([problem(429, "queue.full", retry_after="7")]).run(ask(READ))
    assert str(caught.value) == "queue.full: what went wrong"
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 7)


def test_an_answer_of_something_else_is_told() -> None:
    with pytest.raises(NotDdoqError, match=r"answered 404 .*is it ddoq\?"):
        network([answer(404, b"<html>")]).run(ask(READ))


def test_what_an_earlier_try_may_have_deleted_is_gone_without_an_error() -> None:
    network([broken(), problem(410, "job.deleted")]).run(remove("/v1/jobs/job_1"))


@pytest.mark.parametrize("before", [[], [problem(429, "rate.limited", retry_after="1")], [broken(was_sent=False)]])
def test_what_nobody_here_deleted_is_not_there(before: list[Answer | BrokenError]) -> None:
    with pytest.raises(ProblemError, match=r"^job\.not_found"):
        network([*before, problem(404, "job.not_found")]).run(remove("/v1/jobs/job_1"))
