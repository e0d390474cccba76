"""What a worker's child counts and its main process shows."""

import os

from prometheus_client import CollectorRegistry

from ddoq.events import Event, Stage
from worker.counts import Counts, Outcome


def shown(counts: Counts, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(counts)
    return registry.get_sample_value(name, labels)


def test_what_a_child_counted_is_shown_when_it_was_killed() -> None:
    counts = Counts()
    pid = os.fork()
    if pid == 0:
        counts.end(Stage.ENCODE, Outcome.DONE)
        os._exit(9)
    os.waitpid(pid, 0)
    assert shown(counts, "ddoq_worker_units_total", stage="encode", outcome="done") == 1


def test_pieces_are_counted_once_though_events_tell_of_all_so_far() -> None:
    counts, heard = Counts(), []
    on_event = counts.counting(heard.append)
    for done in (0, 10, 10, 25):
        on_event(Event(Stage.GENERATE, done, 25))
    assert shown(counts, "ddoq_worker_pieces_total", stage="generate") == 25
    assert [event.done for event in heard] == [0, 10, 10, 25]


def test_the_stage_at_work_is_shown_until_it_ends_or_a_new_child_begins() -> None:
    counts = Counts()
    with counts.running(Stage.TRAIN):
        assert shown(counts, "ddoq_worker_running", stage="train") == 1
        counts.rest()
        assert shown(counts, "ddoq_worker_running", stage="train") == 0
    with counts.running(Stage.TRAIN):
        pass
    assert shown(counts, "ddoq_worker_running", stage="train") == 0
    assert (shown(counts, "ddoq_worker_unit_seconds_total", stage="train") or 0) > 0
