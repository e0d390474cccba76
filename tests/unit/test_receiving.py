"""Large bodies, a piece at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from io import BytesIO

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from api import receiving
from api.errors import BodyBrokenOffError, BodyTooLargeError, InvalidRequestError, TooManyBodiesError
from api.receiving import BODIES_AT_ONCE, Receiver, content_length, pieces


def request_of(*messages: Message, **headers: str) -> Request:
    """A request whose body comes in these messages, and then no more."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "PUT", "headers": named}, receive)


def body(chunks: Sequence[bytes]) -> list[Message]:
    return [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks] + [{"type": "http.request"}]


def cut(request: Request, piece_bytes: int, most_bytes: int) -> list[bytes]:
    async def collect() -> list[tuple[BytesIO, int]]:
        return [piece async for piece in pieces(request, piece_bytes, most_bytes)]

    found = asyncio.run(collect())
    assert all(len(piece.getvalue()) == n_bytes for piece, n_bytes in found)
    return [piece.getvalue() for piece, _ in found]


@given(st.lists(st.binary(max_size=9)), st.integers(1, 12))
def test_however_a_body_comes_it_is_cut_into_equal_pieces(chunks: list[bytes], piece_bytes: int) -> None:
    whole = b"".join(chunks)
    found = cut(request_of(*body(chunks)), piece_bytes, len(whole))
    assert b"".join(found) == whole
    assert all(len(piece) == piece_bytes for piece in found[:-1])
    assert all(1 <= len(piece) <= piece_bytes for piece in found)


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(BodyTooLargeError, match="larger than the 3 bytes"):
        cut(request_of(*body([b"ab", b"cd"])), 2, 3)


def test_a_client_that_goes_away_has_broken_off() -> None:
    with pytest.raises(BodyBrokenOffError, match="went away"):
        cut(request_of(*body([b"ab"])[:1], {"type": "http.disconnect"}), 2, 9)


def test_a_client_that_falls_silent_has_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SILENCE_SECONDS", 0.01)
    with pytest.raises(BodyBrokenOffError, match="no byte came"):
        cut(request_of(*body([b"ab"])[:1]), 2, 9)


def test_only_so_many_bodies_are_received_at_once() -> None:
    async def fill() -> None:
        receiver = Receiver()
        async with AsyncExitStack() as held:
            for _ in range(BODIES_AT_ONCE):
                await held.enter_async_context(receiver.turn())
            with pytest.raises(TooManyBodiesError):
                await held.enter_async_context(receiver.turn())
        async with receiver.turn():
            pass

    asyncio.run(fill())


@pytest.mark.parametrize("text", ["", "-1", "0", "1.5", "many", "٣"])
def test_a_length_that_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="Content-Length"):
        content_length(request_of(content_length=text))
