"""Streams of events, and lists, as the Python client reads them."""

import json

import pytest

from ddoq_client import Event, NotAnsweredError, NotDdoqError, Progress
from ddoq_client.exchange import paged
from ddoq_client.jobs import WAIT_SECONDS, events, wait, watch
from ddoq_client.retries import LONG
from ddoq_client.steps import Answer
from ddoq_client.streams import Frame, Frames, stream
from ddoq_client.views import Artifact
from tests.flows import answer, broken, network

STREAM = answer(200, content_type="text/event-stream; charset=utf-8")
OVER = answer(204)
FRAMES = [Frame("4", "started", "one\ntwo"), Frame("", "message", "three")]
TEXT = b"retry: 2000\n\nid: 4\nevent: started\ndata: one\ndata: two\n\n:\n\ndata:three\n\n"


def happened(sequence: int) -> dict[str, object]:
    return {"sequence": sequence, "at": "2026-01-01T00:00:00Z", "kind": "queued", "data": {}}


def frame(sequence: int) -> bytes:
    return f"id: {sequence}\nevent: queued\ndata: {json.dumps(happened(sequence))}\n\n".encode()


def seen(*comes: Answer | bytes | Exception) -> tuple[list[object], list[str]]:
    """Follow a stream; tell what it emits, and behind which event it was asked for each time."""
    there = network(comes)  # type: ignore[arg-type]
    there.run(stream("job_1"))
    return there.emitted, [request.headers["Last-Event-ID"] for request in there.sent]


@pytest.mark.parametrize("text", [TEXT, TEXT.replace(b"\n", b"\r\n")])
@pytest.mark.parametrize("cut", range(1, 8))
def test_frames_are_the_same_however_they_are_cut(text: bytes, cut: int) -> None:
    frames = Frames()
    pieces = [text[start : start + cut] for start in range(0, len(text), cut)]
    assert [found for piece in pieces for found in frames.feed(piece)] == FRAMES


def test_a_frame_that_is_not_whole_is_not_told() -> None:
    assert list(Frames().feed(frame(1)[:-1])) == []


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(NotDdoqError, match="has more than"):
        list(Frames().feed(b"x" * (1 << 23)))


def test_a_stream_goes_on_behind_the_last_event_that_came_whole() -> None:
    emitted, asked = seen(STREAM, frame(1) + frame(2)[:-5], broken(), STREAM, frame(2), OVER)
    assert emitted == [Event.model_validate(happened(1)), Event.model_validate(happened(2))]
    assert asked == ["0", "1", "2"]


def test_progress_comes_between_events_and_is_not_gone_on_behind() -> None:
    told = b'event: progress\ndata: {"stage": "encode", "done": 3, "total": 10}\n\n'
    emitted, asked = seen(STREAM, frame(1), told, OVER)
    assert emitted[1:] == [Progress(stage="encode", done=3, total=10)]
    assert asked == ["0", "1"]


def test_a_stream_that_only_ever_breaks_is_given_up() -> None:
    with pytest.raises(NotAnsweredError):
        seen(*[STREAM, b":\n\n", broken()] * LONG.tries)


def test_what_is_no_stream_is_refused() -> None:
    with pytest.raises(NotDdoqError, match="something else than a stream"):
        seen(answer(200, {"data": []}))


@pytest.mark.parametrize("told", [b"id: 1\ndata: <html>\n\n", b"data: {}\n\n"])
def test_what_is_no_event_is_refused(told: bytes) -> None:
    with pytest.raises(NotDdoqError, match="that is no"):
        seen(STREAM, told)


def test_events_are_listed_page_by_page() -> None:
    there = network([answer(200, {"data": [happened(n) for n in range(1, 1001)]}), answer(200, {"data": []})])
    there.run(events("job_1"))
    assert len(there.emitted) == 1000
    assert [dict(request.query)["after"] for request in there.sent] == ["0", "1000"]


@pytest.mark.parametrize(("limit", "sizes"), [(None, ["100", "100"]), (2, ["2"]), (3, ["3", "1"]), (0, [])])
def test_lists_are_asked_for_no_more_than_is_wanted(limit: int | None, sizes: list[str]) -> None:
    files = [{"name": name, "size_bytes": 1, "sha256": "0" * 64} for name in "abc"]
    pages = [answer(200, {"data": files[:2], "next_cursor": "next"}), answer(200, {"data": files[2:]})]
    there = network(pages)
    there.run(paged(Artifact, "/v1/files", limit=limit))
    assert [dict(request.query)["limit"] for request in there.sent] == sizes
    assert [dict(request.query).get("cursor") for request in there.sent] == [None, "next"][: len(sizes)]


def job(status: str, *, tag: str = '"a"', is_held: bool = True) -> Answer:
    body = {"id": "job_1", "status": status, "stage": "read", "created_at": "2026-01-01T00:00:00Z"}
    return answer(200, body, etag=tag, **({"preference_applied": "wait=60"} if is_held else {}))


def test_a_watch_tells_each_change_once() -> None:
    same = answer(304, etag='"a"', preference_applied="wait=60")
    there = network([job("queued"), same, job("running", tag='"b"'), job("succeeded", tag='"c"')])
    there.run(watch("job_1"))
    assert [one.status for one in there.emitted] == ["queued", "running", "succeeded"]
    assert [request.headers.get("If-None-Match") for request in there.sent] == [None, '"a"', '"a"', '"b"']
    assert [request.headers.get("Prefer") for request in there.sent] == [None, *["wait=60"] * 3]
    assert there.pauses == []


def test_a_watch_does_not_hurry_where_answers_are_not_held_back() -> None:
    there = network([job("queued"), answer(304, retry_after="2"), job("succeeded", is_held=False)])
    there.run(watch("job_1"))
    assert there.pauses == [2, 2]


def test_a_watch_outlives_a_restart_of_the_service() -> None:
    there = network([job("queued"), *[broken(was_sent=False)] * (LONG.tries - 1), job("succeeded")])
    there.run(watch("job_1"))
    assert [one.status for one in there.emitted] == ["queued", "succeeded"]
    assert sum(there.pauses) > 60


def test_an_answer_is_waited_for_longer_than_it_is_held_back() -> None:
    there = network([job("running"), job("succeeded")])
    assert there.run(wait("job_1", None)).status == "succeeded"
    assert all(request.timeout_seconds > WAIT_SECONDS for request in there.sent)
