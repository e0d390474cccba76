"""The wake-up call, on a real broker and on none."""

import json
import socket
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from jobs.errors import QueueUnavailableError
from jobs.queue import QUEUE, Queue, make_celery
from jobs.settings import Settings


@pytest.fixture
def queue_of_nobody(settings: Settings) -> Iterator[Queue]:
    """A queue at a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        app = make_celery(settings.model_copy(update={"broker_url": url}))
        yield Queue(app)
        app.close()


def test_a_call_is_a_short_json_message_that_expires(queue: Queue, broker: Redis) -> None:
    queue.wake()
    message = broker.lpop(QUEUE)
    assert isinstance(message, bytes)
    assert len(message) < 1024
    assert json.loads(message)["headers"]["task"] == "worker.run_units"
    assert json.loads(message)["headers"]["expires"] is not None


def test_a_broker_that_is_away_is_told_soon(queue_of_nobody: Queue) -> None:
    start = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        queue_of_nobody.wake()
    assert time.monotonic() - start < 5


def test_a_broker_that_answers_is_ready(queue: Queue) -> None:
    assert queue.is_ready()


def test_a_broker_that_is_away_is_not_ready(queue_of_nobody: Queue) -> None:
    assert not queue_of_nobody.is_ready()


def test_calls_go_through_again_when_the_broker_is_back(queue: Queue, broker: Redis) -> None:
    queue.wake()
    broker.client_kill_filter(_type="normal", skipme=True)
    queue.wake()
    assert broker.llen(QUEUE) == 2
