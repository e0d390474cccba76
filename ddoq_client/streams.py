"""Server-Sent Events, by the HTML standard: read as they come, and followed across breaks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from ddoq_client.errors import NotDdoqError
from ddoq_client.exchange import judge, path_of, settle, unanswered
from ddoq_client.retries import LONG, USUAL, Patience
from ddoq_client.steps import BrokenError, Emit, Emitting, Flow, Open, Pause, Request, read_chunk
from ddoq_client.views import Event, Progress

MEDIA_TYPE = "text/event-stream"
AGAIN_SECONDS = 2.0
MOST_FRAME_BYTES = 1 << 22


@dataclass(frozen=True)
class Frame:
    """One event of a stream; `id` is empty where it has none."""

    id: str
    event: str
    data: str


@dataclass
class Frames:
    """Cuts a stream into frames; what has come of the next one waits for the rest."""

    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Add bytes; yield the frames that they complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_FRAME_BYTES:
            raise NotDdoqError(f"a line of the stream has more than {MOST_FRAME_BYTES} bytes; is it ddoq?")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                self._lines.append(text)
                continue
            if frame := _frame_of(self._lines):
                yield frame
            self._lines = []


def _frame_of(lines: list[str]) -> Frame | None:
    """Read the lines of a frame; nothing of one without data, such as a comment."""
    said: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        said.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in said:
        return None
    return Frame(said.get("id", [""])[-1], said.get("event", ["message"])[-1], "\n".join(said["data"]))


def stream(job_id: str) -> Emitting[Event | Progress]:
    """Emit what has happened to a job and what happens, until it has ended; no event is lost or doubled by a break."""
    last, n_silent, patience = 0, 0, USUAL
    while (yield from _connect(job_id, last, patience)):
        n_silent, patience = n_silent + 1, LONG
        broken, frames = None, Frames()
        try:
            while chunk := (yield from read_chunk()):
                for told in map(_told, frames.feed(chunk)):
                    last, n_silent = told.sequence if isinstance(told, Event) else last, 0
                    yield Emit(told)
        except BrokenError as error:
            broken = error
        if broken and n_silent >= LONG.tries:
            raise unanswered(broken) from broken
        if broken or n_silent:
            yield Pause(AGAIN_SECONDS)


def _connect(job_id: str, last: int, patience: Patience) -> Flow[bool]:
    """Ask for the stream behind the event `last`; tell whether there is one."""
    headers = {"Accept": MEDIA_TYPE, "Accept-Encoding": "identity", "Last-Event-ID": str(last)}
    request = Request("GET", path_of("jobs", job_id, "events"), headers=headers)
    answer = judge((yield from settle(Open(request), patience)))
    if answer.status == 204:
        return False
    if not answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
        raise NotDdoqError(f"{answer.url} answered with something else than a stream of events; is it ddoq?")
    return True


def _told(frame: Frame) -> Event | Progress:
    kind: type[BaseModel] = Event if frame.id else Progress
    try:
        return Event.model_validate_json(frame.data) if frame.id else Progress.model_validate_json(frame.data)
    except ValidationError as error:
        raise NotDdoqError(f"the stream holds a {frame.event!r} that is no {kind.__name__}; is it ddoq?") from error
