"""Flows of the Python client without any network: answers are read from a list, and every step is kept."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from ddoq_client.steps import Answer, Ask, BrokenError, Emit, Open, Pause, Read, Request, Work

URL = "http://service"


def answer(status: int = 200, body: object = None, **headers: str) -> Answer:
    """Write an answer; `body` as JSON, or as it is when it is bytes."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Answer(
        URL, status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), content
    )


def problem(status: int, code: str, **headers: str) -> Answer:
    """Write a refusal."""
    return answer(status, {"code": code, "detail": "what went wrong", "status": status}, **headers)


def broken(*, was_sent: bool = True) -> BrokenError:
    """Write what a connection that was cut off is."""
    return BrokenError(URL, "cut off", was_sent=was_sent)


@dataclass
class Network:
    """What a flow gets, in order: answers and breaks, and behind an answer the chunks that are read of it."""

    comes: list[Answer | BrokenError | bytes]
    sent: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    emitted: list[Any] = field(default_factory=list)

    def run(self, flow: Any) -> Any:
        """Carry out a flow to its end; return its result."""
        try:
            step = next(flow)
            while True:
                came = self._perform(step)
                step = flow.throw(came) if isinstance(came, BrokenError) else flow.send(came)
        except StopIteration as end:
            return end.value

    def _perform(self, step: object) -> object:
        match step:
            case Ask(request) | Open(request):
                self.sent.append(request)
                return self.comes.pop(0)
            case Read():
                is_over = not self.comes or isinstance(self.comes[0], Answer)
                return b"" if is_over else self.comes.pop(0)
            case Pause(seconds):
                self.pauses.append(seconds)
            case Emit(item):
                self.emitted.append(item)
            case Work(do):
                return do()
        return None


def network(comes: Iterable[Answer | BrokenError | bytes]) -> Network:
    return Network(list(comes))
