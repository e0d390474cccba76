"""Webhooks from the move of a job to the receiver: what is sent, in which order, and what becomes of it."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from standardwebhooks.webhooks import WebhookVerificationError

from cli.servers import free_port
from ddoq.events import Stage
from ddoq.guard import Rules
from jobs.leases import Leases
from jobs.options import JobOptions
from jobs.records import Failure, JobState
from jobs.rows import lock_job, move
from jobs.settings import Settings
from jobs.states import EventKind
from jobs.store import Store
from jobs.sweep import Sweeper
from jobs.webhook_deliveries import Deliveries
from jobs.webhook_queue import RETRY_SECONDS, WebhookQueue
from jobs.webhook_records import Delivery, DeliveryState, Endpoint, JobEventType
from jobs.webhook_secrets import Vault
from jobs.webhooks import EndpointChange, Webhooks
from tests.job_steps import CONFIG, reach, succeed, take
from tests.receivers import LOOPBACK, Answer, Receiver, receiving
from worker.deliveries import Deliverer

RULES = Rules((LOOPBACK,))
DAYS = timedelta(days=5)


@pytest.fixture
def vault(settings: Settings) -> Vault:
    return Vault(settings.key_pepper)


@pytest.fixture
def webhooks(engine: Engine, vault: Vault) -> Webhooks:
    return Webhooks(engine, vault, RULES, max_per_owner=10)


@pytest.fixture
def deliveries(engine: Engine) -> Deliveries:
    return Deliveries(engine)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def deliverer(engine: Engine, vault: Vault) -> Iterator["Hurried"]:
    with Hurried(engine, vault) as deliverer:
        yield deliverer


class Hurried:
    """A deliverer in a thread; `hurry` is the clock that moves on to the next attempt of every endpoint."""

    def __init__(self, engine: Engine, vault: Vault, rules: Rules = RULES, seconds: float = 15) -> None:
        self._engine = engine
        self._deliverer = Deliverer(WebhookQueue(engine, DAYS), vault, rules, seconds=seconds)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._deliverer.run, args=(self._ended.is_set,), daemon=True)

    def __enter__(self) -> "Hurried":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def until(self, look: Callable[[], bool], *, hurry: bool = False, seconds: float = 20) -> None:
        for _ in range(int(seconds / 0.02)):
            if look():
                return
            if hurry:
                set_endpoints(self._engine, "rests_until = NULL")
            threading.Event().wait(0.02)
        raise AssertionError("it did not come to that")


def set_endpoints(engine: Engine, change: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE webhook_endpoints SET {change}"))


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def queued(engine: Engine) -> list[str]:
    """List the types of all messages, in order."""
    return [row[0] for row in rows(engine, "SELECT type FROM webhook_deliveries ORDER BY position")]


def listen(webhooks: Webhooks, url: str = "http://127.0.0.1:9/", owner: str = "ada") -> tuple[Endpoint, str]:
    return webhooks.add(owner, url, JobEventType)


def all_of(deliveries: Deliveries, endpoint: Endpoint) -> list[Delivery]:
    """Read the deliveries of an endpoint, oldest first."""
    return deliveries.page(endpoint.owner, endpoint.id, None, None, 1000)[0][::-1]


def states(deliveries: Deliveries, endpoint: Endpoint) -> list[DeliveryState]:
    return [delivery.state for delivery in all_of(deliveries, endpoint)]


def test_a_job_that_succeeds_is_told_of_at_its_start_and_its_end(
    engine: Engine, store: Store, leases: Leases, webhooks: Webhooks, deliveries: Deliveries
) -> None:
    endpoint, _ = listen(webhooks)
    job = succeed(store, leases)
    started, ended = all_of(deliveries, endpoint)
    links = {part: f"/v1/jobs/{job.id}{end}" for part, end in LINKS.items()}
    about = {"job_id": job.id, "labels": {}, "error_code": None, "links": links}
    assert (started.type, started.data) == ("job.started", {**about, "status": "running", "stage": "read"})
    assert (ended.type, ended.data) == ("job.succeeded", {**about, "status": "succeeded", "stage": "package"})


LINKS = {"self": "", "events": "/events", "artifacts": "/artifacts"}


def test_a_job_that_is_begun_again_is_not_told_of_again(
    engine: Engine, store: Store, leases: Leases, webhooks: Webhooks
) -> None:
    listen(webhooks)
    store.submit("ada", CONFIG)
    leases.give_back(take(leases))
    take(leases)
    assert queued(engine) == ["job.started"]


def test_a_failed_job_is_told_of_with_its_code(
    store: Store, leases: Leases, webhooks: Webhooks, deliveries: Deliveries
) -> None:
    endpoint, _ = listen(webhooks)
    leases.fail(reach(store, leases, Stage.READ), Failure("dataset.damaged", "it is broken", retryable=False))
    failed = all_of(deliveries, endpoint)[-1]
    assert (failed.type, failed.data["status"], failed.data["error_code"]) == (
        "job.failed",
        "failed",
        "dataset.damaged",
    )


def test_cancelled_and_expired_jobs_are_told_of(
    engine: Engine, store: Store, sweeper: Sweeper, webhooks: Webhooks, deliveries: Deliveries
) -> None:
    endpoint, _ = listen(webhooks)
    store.cancel("ada", store.submit("ada", CONFIG).id)
    store.submit("ada", CONFIG)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET queue_deadline_at = now() WHERE state = 'queued'"))
    sweeper.sweep()
    told = [(delivery.type, delivery.data["error_code"]) for delivery in all_of(deliveries, endpoint)]
    assert told == [("job.cancelled", None), ("job.expired", "job.queue_deadline")]


def test_only_endpoints_of_the_owner_that_want_to_hear_it_and_are_enabled_hear_of_a_job(
    engine: Engine, store: Store, webhooks: Webhooks
) -> None:
    wants, _ = webhooks.add("ada", "http://127.0.0.1:9/", [JobEventType.CANCELLED])
    webhooks.add("ada", "http://127.0.0.1:9/", [JobEventType.SUCCEEDED])
    listen(webhooks, owner="bob")
    webhooks.change("ada", listen(webhooks)[0].id, EndpointChange(is_disabled=True))
    store.cancel("ada", store.submit("ada", CONFIG).id)
    assert rows(engine, "SELECT endpoint_id FROM webhook_deliveries") == [(wants.id,)]


def test_all_endpoints_hear_of_a_move_under_one_id(engine: Engine, store: Store, webhooks: Webhooks) -> None:
    for _ in range(3):
        listen(webhooks)
    store.cancel("ada", store.submit("ada", CONFIG, JobOptions(labels={"team": "vision"})).id)
    assert rows(engine, "SELECT count(*), count(DISTINCT message_id) FROM webhook_deliveries") == [(3, 1)]
    assert rows(engine, "SELECT DISTINCT data ->> 'labels' FROM webhook_deliveries") == [('{"team": "vision"}',)]


def test_a_move_that_is_rolled_back_leaves_no_delivery(engine: Engine, store: Store, webhooks: Webhooks) -> None:
    listen(webhooks)
    job = store.submit("ada", CONFIG)
    with engine.connect() as connection:
        move(connection, lock_job(connection, job.id), JobState.CANCELLED, EventKind.CANCELLED, {})
        connection.rollback()
    assert queued(engine) == []


def test_ids_and_places_have_one_order_however_many_jobs_move_at_once(
    engine: Engine, store: Store, webhooks: Webhooks
) -> None:
    for _ in range(2):
        listen(webhooks)
    ids = [store.submit("ada", CONFIG).id for _ in range(40)]
    threads = [
        threading.Thread(target=lambda part=part: [store.cancel("ada", one) for one in ids[part::8]])
        for part in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    query = "SELECT endpoint_id, message_id, position FROM webhook_deliveries ORDER BY endpoint_id, position"
    found = rows(engine, query)
    assert len(found) == 80
    assert found == sorted(found)


def test_a_receiver_that_refuses_for_an_hour_gets_every_webhook_in_order_and_signed(
    engine: Engine,
    store: Store,
    leases: Leases,
    webhooks: Webhooks,
    deliveries: Deliveries,
    receiver: Receiver,
    deliverer: Hurried,
) -> None:
    endpoint, secret = listen(webhooks, receiver.url)
    receiver.answer = Answer(503)
    jobs = [succeed(store, leases) for _ in range(5)]
    waits = []
    for n in range(1, 5):  # at once, then 5 seconds, 5 minutes and 30 minutes later: within the hour
        deliverer.until(lambda n=n: len(all_of(deliveries, endpoint)[0].attempts) == n)
        waits.append(rows(engine, "SELECT rests_until > clock_timestamp() FROM webhook_endpoints")[0][0])
        last = n == 4
        receiver.answer = Answer(204) if last else receiver.answer
        set_endpoints(engine, f"rests_until = rests_until - interval '{RETRY_SECONDS[n - 1] * 1.2} seconds'")
    deliverer.until(lambda: set(states(deliveries, endpoint)) == {DeliveryState.DELIVERED})
    assert waits == [True] * 4
    first = all_of(deliveries, endpoint)[0].message_id
    assert receiver.ids[:5] == [first] * 5  # the queue waits for its first
    assert receiver.ids[4:] == [delivery.message_id for delivery in all_of(deliveries, endpoint)]
    assert receiver.ids == sorted(receiver.ids)
    told = [one.verified(secret) for one in receiver.received[4:]]
    assert [(one["type"], one["data"]["job_id"]) for one in told] == [
        (event, job.id) for job in jobs for event in ("job.started", "job.succeeded")
    ]


def test_a_receiver_that_is_not_there_for_an_hour_gets_every_webhook_once_in_order_and_signed(
    engine: Engine, store: Store, leases: Leases, webhooks: Webhooks, deliveries: Deliveries, deliverer: Hurried
) -> None:
    port = free_port()
    endpoint, secret = listen(webhooks, f"http://127.0.0.1:{port}/hook")
    jobs = [succeed(store, leases) for _ in range(3)]
    for n in range(1, 5):  # at once, then 5 seconds, 5 minutes and 30 minutes later; the next is due in two hours
        deliverer.until(lambda n=n: len(all_of(deliveries, endpoint)[0].attempts) == n)
        if n < 4:
            set_endpoints(engine, f"rests_until = rests_until - interval '{RETRY_SECONDS[n - 1] * 1.2} seconds'")
    with receiving(port) as back:
        set_endpoints(engine, f"rests_until = rests_until - interval '{RETRY_SECONDS[3] * 1.2} seconds'")
        deliverer.until(lambda: set(states(deliveries, endpoint)) == {DeliveryState.DELIVERED})
    first, *others = all_of(deliveries, endpoint)
    assert [attempt.status for attempt in first.attempts] == [None] * 4 + [204]
    assert {len(delivery.attempts) for delivery in others} == {1}
    assert back.ids == sorted(back.ids) == [first.message_id, *(delivery.message_id for delivery in others)]
    told = [one.verified(secret) for one in back.received]
    assert [(one["type"], one["data"]["job_id"]) for one in told] == [
        (event, job.id) for job in jobs for event in ("job.started", "job.succeeded")
    ]


def test_both_secrets_verify_until_the_old_one_expires(
    engine: Engine, webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    endpoint, oldest = listen(webhooks, receiver.url)
    _, old = webhooks.rotate("ada", endpoint.id, timedelta(hours=24))
    _, new = webhooks.rotate("ada", endpoint.id, timedelta(hours=24))
    deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: len(receiver.received) == 1)
    both = receiver.received[0]
    assert both.verified(new) == both.verified(old)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        both.verified(oldest)
    set_endpoints(engine, "old_secret_expires_at = now()")
    deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: len(receiver.received) == 2)
    receiver.received[1].verified(new)
    assert " " not in receiver.received[1].headers["webhook-signature"]


def test_dead_and_slow_receivers_keep_nobody_else_waiting(
    webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    released = threading.Event()
    with receiving() as slow:
        slow.before = lambda: released.wait(20)
        for url in ("http://127.0.0.1:9/", slow.url):
            deliveries.ping("ada", listen(webhooks, url)[0].id)
        deliverer.until(lambda: len(slow.received) == 1)
        endpoint, _ = listen(webhooks, receiver.url)
        for _ in range(3):
            deliveries.ping("ada", endpoint.id)
        deliverer.until(lambda: states(deliveries, endpoint) == [DeliveryState.DELIVERED] * 3)
        assert len(slow.received) == 1
        released.set()


def test_a_receiver_that_answers_drop_by_drop_is_cut_off(
    engine: Engine, vault: Vault, webhooks: Webhooks, deliveries: Deliveries
) -> None:
    endpoint, _ = listen(webhooks, url := dripping())
    deliveries.ping("ada", endpoint.id)
    with Hurried(engine, vault, seconds=0.5) as deliverer:
        deliverer.until(lambda: len(all_of(deliveries, endpoint)[0].attempts) == 1, seconds=5)
    (attempt,) = all_of(deliveries, endpoint)[0].attempts
    assert (attempt.status, attempt.error) == (None, "no answer within 0.5 seconds"), url


def dripping() -> str:
    """Run a server that sends one byte of a header after the other, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            try:
                while True:
                    connection.sendall(b"a")
                    threading.Event().wait(0.05)
            except OSError:
                return

    threading.Thread(target=drip, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_redirect_is_a_failure_and_is_not_followed(
    webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    with receiving() as elsewhere:
        receiver.answer = Answer(307, {"Location": elsewhere.url})
        endpoint, _ = listen(webhooks, receiver.url)
        deliveries.ping("ada", endpoint.id)
        deliverer.until(lambda: len(all_of(deliveries, endpoint)[0].attempts) == 1)
        assert all_of(deliveries, endpoint)[0].attempts[0].status == 307
        assert elsewhere.received == []


def test_a_name_that_leads_inside_by_now_is_not_reached(
    engine: Engine, vault: Vault, webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver
) -> None:
    endpoint, _ = listen(webhooks, receiver.url.replace("127.0.0.1", "localhost"))
    deliveries.ping("ada", endpoint.id)
    changed = Rules((LOOPBACK,), resolve=lambda *_: ["127.0.0.2"])
    with Hurried(engine, vault, changed) as deliverer:
        deliverer.until(lambda: len(all_of(deliveries, endpoint)[0].attempts) == 1)
    (attempt,) = all_of(deliveries, endpoint)[0].attempts
    assert "may not be reached" in str(attempt.error)
    assert receiver.received == []


def test_an_endpoint_that_is_gone_is_disabled(
    webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    receiver.answer = Answer(410)
    for _ in range(2):
        deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: webhooks.get("ada", endpoint.id).disabled_at is not None)
    assert webhooks.get("ada", endpoint.id).disabled_reason == "gone"
    assert states(deliveries, endpoint) == [DeliveryState.FAILED, DeliveryState.PENDING]
    receiver.answer = Answer(200)
    webhooks.change("ada", endpoint.id, EndpointChange(is_disabled=False))
    deliverer.until(lambda: states(deliveries, endpoint)[1] is DeliveryState.DELIVERED)
    assert len(receiver.received) == 2


def test_an_endpoint_that_fails_for_days_is_disabled(
    engine: Engine, webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    receiver.answer = Answer(500)
    deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: len(receiver.received) == 1)
    deliverer.until(lambda: webhooks.get("ada", endpoint.id).failing_since is not None)
    set_endpoints(engine, "failing_since = failing_since - interval '5 days', rests_until = NULL")
    deliverer.until(lambda: webhooks.get("ada", endpoint.id).disabled_reason == "failing")


def test_a_message_is_given_up_after_its_last_retry_and_the_next_goes_on(
    webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    receiver.answer = Answer(500, body=b"no\0" + b"x" * 5000)
    first = deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: states(deliveries, endpoint) == [DeliveryState.FAILED], hurry=True)
    receiver.answer = Answer(200)
    deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: states(deliveries, endpoint)[1] is DeliveryState.DELIVERED)
    attempts = all_of(deliveries, endpoint)[0].attempts
    assert [attempt.status for attempt in attempts] == [500] * (len(RETRY_SECONDS) + 1)
    assert attempts[0].excerpt.startswith("no\\0xxx")
    assert len(attempts[0].excerpt) == 200
    assert receiver.ids.count(first.message_id) == len(attempts)


@pytest.mark.parametrize(
    ("header", "least"), [("600", 590), ("999999999", 86_000), ("soon", 4), ("Wed, 21 Oct 2015 07:28:00 GMT", 4)]
)
def test_a_receiver_may_ask_for_time_but_not_for_ever(
    engine: Engine,
    webhooks: Webhooks,
    deliveries: Deliveries,
    receiver: Receiver,
    deliverer: Hurried,
    header: str,
    least: int,
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    receiver.answer = Answer(429, {"Retry-After": header})
    deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: webhooks.get("ada", endpoint.id).rests_until is not None)
    rest = rows(engine, "SELECT extract(epoch FROM rests_until - clock_timestamp()) FROM webhook_endpoints")[0][0]
    assert least < rest < max(least * 1.2, 6)


def test_a_delivered_message_is_sent_again_under_its_id_behind_what_waits(
    webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, deliverer: Hurried
) -> None:
    endpoint, secret = listen(webhooks, receiver.url)
    first = deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: states(deliveries, endpoint) == [DeliveryState.DELIVERED])
    receiver.answer = Answer(500)
    second = deliveries.ping("ada", endpoint.id)
    deliverer.until(lambda: len(receiver.received) == 2)
    deliverer.until(lambda: webhooks.get("ada", endpoint.id).rests_until is not None)
    receiver.answer = Answer(200)
    deliveries.redeliver("ada", endpoint.id, first.message_id)
    deliverer.until(lambda: states(deliveries, endpoint) == [DeliveryState.DELIVERED] * 2)
    assert receiver.ids == [first.message_id, second.message_id, second.message_id, first.message_id]
    assert receiver.received[0].body == receiver.received[-1].body
    assert receiver.received[-1].verified(secret)["type"] == "ping"


def test_what_a_deliverer_held_when_it_vanished_is_delivered_by_another(
    engine: Engine, webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver, vault: Vault
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    deliveries.ping("ada", endpoint.id)
    queue = WebhookQueue(engine, DAYS)
    (held,) = queue.take(10, from_failing=False)
    assert queue.take(10, from_failing=False) == []
    set_endpoints(engine, "lease_expires_at = now()")
    with Hurried(engine, vault) as deliverer:
        deliverer.until(lambda: states(deliveries, endpoint) == [DeliveryState.DELIVERED])
    assert not queue.close(held, all_of(deliveries, endpoint)[0].attempts[0])
    assert len(all_of(deliveries, endpoint)[0].attempts) == 1


def test_those_who_waited_longest_go_first(engine: Engine, webhooks: Webhooks, deliveries: Deliveries) -> None:
    ids = [listen(webhooks)[0].id for _ in range(3)]
    for _ in range(2):
        for one in ids:
            deliveries.ping("ada", one)
    queue = WebhookQueue(engine, DAYS)
    taken = []
    for _ in range(6):
        (due,) = queue.take(1, from_failing=False)
        taken.append(due.endpoint_id)
        set_endpoints(engine, "lease_token = NULL, lease_expires_at = NULL")
    assert taken == ids * 2


def test_deliveries_are_forgotten_after_a_month(
    engine: Engine, webhooks: Webhooks, deliveries: Deliveries, sweeper: Sweeper
) -> None:
    endpoint, _ = listen(webhooks)
    old, new = (deliveries.ping("ada", endpoint.id) for _ in range(2))
    with engine.begin() as connection:
        age = "UPDATE webhook_deliveries SET created_at = created_at - interval '30 days' WHERE message_id = :id"
        connection.execute(text(age), {"id": old.message_id})
    assert sweeper.sweep().n_deliveries_forgotten == 1
    assert [delivery.message_id for delivery in all_of(deliveries, endpoint)] == [new.message_id]


def test_no_secret_is_stored_as_it_is(engine: Engine, webhooks: Webhooks) -> None:
    endpoint, secret = listen(webhooks)
    webhooks.rotate("ada", endpoint.id, timedelta(hours=1))
    drawn = base64.b64decode(secret.removeprefix("whsec_"))
    ((now, before),) = rows(engine, "SELECT secret, old_secret FROM webhook_endpoints")
    assert drawn not in bytes(now) + bytes(before)


def test_a_secret_of_another_pepper_is_an_attempt_that_failed(
    engine: Engine, webhooks: Webhooks, deliveries: Deliveries, receiver: Receiver
) -> None:
    endpoint, _ = listen(webhooks, receiver.url)
    deliveries.ping("ada", endpoint.id)
    with Hurried(engine, Vault(SecretStr("another pepper altogether"))) as deliverer:
        deliverer.until(lambda: len(all_of(deliveries, endpoint)[0].attempts) == 1)
    assert "rotate it" in str(all_of(deliveries, endpoint)[0].attempts[0].error)
    assert receiver.received == []
