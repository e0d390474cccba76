"""Drivers: they carry out the steps of a flow, one in the calling thread, one in asyncio."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from ddoq_client.errors import NotConfiguredError
from ddoq_client.steps import (
    Answer,
    Ask,
    BrokenError,
    Emit,
    Emitting,
    Flow,
    Open,
    Pause,
    Request,
    Step,
    Work,
)

T = TypeVar("T")
CONNECT_SECONDS = 10.0


def find_service(url: str | None, key: str | None) -> tuple[str, str]:
    """Tell the service's address and the API key: as given, else as the environment says.

    Raises:
        NotConfiguredError: one of them is missing, or cannot be one.
    """
    address = (url or os.environ.get("DDOQ_URL") or "").strip()
    secret = (key or os.environ.get("DDOQ_API_KEY") or "").strip()
    if not address or not secret:
        raise NotConfiguredError("no service is named; give its url and an API key, or set DDOQ_URL and DDOQ_API_KEY")
    if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname:
        raise NotConfiguredError(f"{address!r} is no address of a service; write it as in https://ddoq.example.com")
    if not (secret.isascii() and secret.isprintable()):
        raise NotConfiguredError("the API key holds characters that no key has")
    return address, secret


def build(http: httpx.Client | httpx.AsyncClient, key: str, request: Request) -> httpx.Request:
    """Write a request down; the key goes to the service alone."""
    is_ours = request.path.startswith("/")
    return http.build_request(
        request.method,
        request.path,
        params=httpx.QueryParams(request.query) if request.query else None,
        headers={**request.headers, **({"Authorization": f"Bearer {key}"} if is_ours else {})},
        content=request.body,
        timeout=httpx.Timeout(request.timeout_seconds, connect=CONNECT_SECONDS),
    )


def broken(http: httpx.Client | httpx.AsyncClient, error: Exception) -> BrokenError:
    """Say what broke, and whether the server may have seen the request."""
    was_sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    return BrokenError(str(http.base_url), str(error) or type(error).__name__, was_sent=was_sent)


def answer_of(response: httpx.Response, content: bytes) -> Answer:
    """Take over what a flow may see of a response."""
    return Answer(str(response.url), response.status_code, response.headers, content)


class Course(Generic[T]):
    """A flow on its way: its next step, and what came of it."""

    def __init__(self, flow: Generator[Any, Any, Any]) -> None:
        self._flow = flow
        self._turn: Callable[[], Step | Emit[T]] = partial(flow.send, None)
        self.result: Any = None

    def next_step(self) -> Step | Emit[T] | None:
        """Go on to the next step; None at the end, when `result` is there."""
        try:
            return self._turn()
        except StopIteration as end:
            self.result = end.value
            return None

    def reply(self, came: object) -> None:
        """Say what came of the step."""
        self._turn = partial(self._flow.send, came)

    def fail(self, error: BrokenError) -> None:
        """Say that it broke."""
        self._turn = partial(self._flow.throw, error)

    def close(self) -> None:
        """Leave the flow where it is."""
        self._flow.close()


class Driver:
    """Carries out flows in the calling thread. Safe to share between threads."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(base_url=url)
        self._key = key

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow; return its result."""
        course: Course[Any] = Course(flow)
        for _ in self._items(course):
            pass
        result: T = course.result
        return result

    def iterate(self, flow: Emitting[T]) -> Iterator[T]:
        """Carry out a flow; yield what it emits."""
        return self._items(Course(flow))

    def _items(self, course: Course[T]) -> Iterator[T]:
        with closing(course), closing(_Connection(self.http, self._key)) as connection:
            while (step := course.next_step()) is not None:
                if isinstance(step, Emit):
                    yield step.item
                    course.reply(None)
                    continue
                try:
                    course.reply(connection.perform(step))
                except BrokenError as error:
                    course.fail(error)


class _Connection:
    """What one flow has open."""

    def __init__(self, http: httpx.Client, key: str) -> None:
        self._http, self._key = http, key
        self._response: httpx.Response | None = None
        self._body: Iterator[bytes] = iter(())

    def perform(self, step: Step) -> object:
        """Take a step.

        Raises:
            BrokenError: the network did not let it be taken.
        """
        match step:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Work(do):
                return do()
        try:
            match step:
                case Ask(request):
                    response = self._http.send(build(self._http, self._key, request))
                    return answer_of(response, response.content)
                case Open(request):
                    return self._open(request)
            return next(self._body, b"")
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise broken(self._http, error) from error

    def _open(self, request: Request) -> Answer:
        self.close()
        self._response = self._http.send(build(self._http, self._key, request), stream=True)
        if not self._response.is_success:
            return answer_of(self._response, self._response.read())
        self._body = self._response.iter_raw()
        return answer_of(self._response, b"")

    def close(self) -> None:
        """Close what is open."""
        if self._response:
            self._response.close()


class AsyncDriver:
    """Carries out flows in asyncio; what takes a while on this machine goes to a thread."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.AsyncClient(base_url=url)
        self._key = key

    async def run(self, flow: Flow[T]) -> T:
        """Carry out a flow; return its result."""
        course: Course[Any] = Course(flow)
        async for _ in self._items(course):
            pass
        result: T = course.result
        return result

    def iterate(self, flow: Emitting[T]) -> AsyncGenerator[T, None]:
        """Carry out a flow; yield what it emits."""
        return self._items(Course(flow))

    async def _items(self, course: Course[T]) -> AsyncGenerator[T, None]:
        with closing(course):
            async with aclosing(_AsyncConnection(self.http, self._key)) as connection:
                while (step := course.next_step()) is not None:
                    if isinstance(step, Emit):
                        yield step.item
                        course.reply(None)
                        continue
                    try:
                        course.reply(await connection.perform(step))
                    except BrokenError as error:
                        course.fail(error)


class _AsyncConnection:
    """What one flow has open."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http, self._key = http, key
        self._response: httpx.Response | None = None
        self._body: AsyncIterator[bytes] | None = None

    async def perform(self, step: Step) -> object:
        """Take a step.

        Raises:
            BrokenError: the network did not let it be taken.
        """
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Work(do):
                return await asyncio.to_thread(do)
        try:
            match step:
                case Ask(request):
                    response = await self._http.send(build(self._http, self._key, request))
                    return answer_of(response, response.content)
                case Open(request):
                    return await self._open(request)
            return await anext(self._body, b"") if self._body else b""
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise broken(self._http, error) from error

    async def _open(self, request: Request) -> Answer:
        await self.aclose()
        self._response = await self._http.send(build(self._http, self._key, request), stream=True)
        if not self._response.is_success:
            return answer_of(self._response, await self._response.aread())
        self._body = self._response.aiter_raw()
        return answer_of(self._response, b"")

    async def aclose(self) -> None:
        """Close what is open."""
        if self._response:
            await self._response.aclose()
