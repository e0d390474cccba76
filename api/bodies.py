"""Bytes of a body to a checked model. Ours, not the framework's: the key is checked before a body is read."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from email.message import Message
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from api.errors import BodyTooLargeError, ContentTypeError, Fault, InvalidRequestError, NotJsonError
from api.problems import summarise

MAX_BODY_BYTES = 1024 * 1024
DOUBTFUL = re.compile(rb"\\u0000|NaN|Infinity")  # as JSON writes a NUL character, and what it has no numbers for

_KINDS: Mapping[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    dict: "object",
    list: "list",
    type(None): "null",
}
_NESTED = (dict, list)

Model = TypeVar("Model", bound=BaseModel)


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Make a dependency that reads the request's body as `model`."""

    async def read(request: Request) -> Model:
        _require_json(request.headers.get("content-type"))
        return parse(model, await _read_at_most(request, MAX_BODY_BYTES))

    return read


def parse(model: type[Model], body: bytes) -> Model:
    """Check a body against a model; each fault is named by a JSON pointer into the body.

    Raises:
        NotJsonError: the body is not JSON in UTF-8.
        InvalidRequestError: fields are missing, unknown, of another type or out of bounds, or a text holds a NUL
            character.
    """
    if not DOUBTFUL.search(body):
        try:
            return model.model_validate_json(body, strict=True)
        except ValidationError:
            pass  # it may be right all the same, as 1.0 is for 1; if not, what follows says why
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise NotJsonError(f"the body is not JSON: {error}") from None
    if faults := _nuls(value, ""):
        raise InvalidRequestError(summarise(faults), faults)
    try:
        found = model.model_validate_json(body)
    except ValidationError as error:
        faults = [_fault(found, value) for found in error.errors(include_url=False, include_input=False)]
        raise InvalidRequestError(summarise(faults), faults) from None
    taken = found.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if faults := list(_mistaken(value, taken)):
        raise InvalidRequestError(summarise(faults), faults)
    return found


def _require_json(content_type: str | None) -> None:
    if content_type == "application/json":
        return
    message = Message()
    message["Content-Type"] = content_type or "none/none"
    if message.get_content_type() != "application/json":
        raise ContentTypeError(f"the body is declared as {content_type!r}; send it as application/json")


async def _read_at_most(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLargeError(f"the body is larger than {limit_bytes} bytes; send a smaller one")
    return bytes(body)


def _nuls(value: Any, pointer: str) -> list[Fault]:
    """Find the texts that neither PostgreSQL nor a file system can hold."""
    fault = Fault(pointer, "nul_character", "texts must not hold the character U+0000")
    if isinstance(value, str):
        return [fault] if "\0" in value else []
    if isinstance(value, dict):
        inside = [found for key, item in value.items() for found in _nuls(item, _below(pointer, key))]
        return inside + ([fault] if any("\0" in key for key in value) else [])
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _nuls(item, _below(pointer, index))]
    return []


def _mistaken(body: Any, read: Any) -> Iterator[Fault]:
    """Find what was taken for another type, as `true` for 1: the description of the API allows no such thing."""
    pairs: list[tuple[Any, Any, str]] = [(body, read, "")]
    while pairs:
        given, taken, pointer = pairs.pop()
        if type(given) is type(taken) is dict:
            pairs += [
                (one, each, _below(pointer, key))
                for key, each in taken.items()
                if type(one := given.get(key, each)) is not type(each) or type(each) in _NESTED
            ]
        elif type(given) is type(taken) is list:
            pairs += [
                (one, each, _below(pointer, index)) for index, (one, each) in enumerate(zip(given, taken, strict=False))
            ]
        elif (kind := _KINDS[type(given)]) != (wanted := _KINDS[type(taken)]):
            yield Fault(pointer, "type", f"is a {kind}; send a {wanted}")


def _fault(found: ErrorDetails, body: Any) -> Fault:
    return Fault(_pointer(found["loc"], body, is_missing=found["type"] == "missing"), found["type"], found["msg"])


def _pointer(place: Sequence[str | int], body: Any, *, is_missing: bool) -> str:
    """Write where a fault is as a JSON pointer, without pydantic's names of union members."""
    pointer, node = "", body
    for depth, part in enumerate(place):
        holds_part = part in (range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ())
        if holds_part and isinstance(node, dict | list):
            pointer, node = _below(pointer, part), node[part]  # type: ignore[index]  # checked the line above
        elif is_missing and depth == len(place) - 1:
            pointer = _below(pointer, part)
    return pointer


def _below(pointer: str, part: str | int) -> str:
    escaped = str(part).replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{escaped}"
