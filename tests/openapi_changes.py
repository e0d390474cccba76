"""What breaks callers of an API between two descriptions of it. Pure.

A caller's request must stay one that is taken, so what is *sent* may only widen; a caller must still understand the
answer, so what is *received* may only narrow, but for new fields and new values of an enumeration, which callers skip.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
Part = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Two documents, where in them we are, and whether this part is sent by the caller or received."""

    old: Part
    new: Part
    place: str = ""
    is_sent: bool = False
    seen: frozenset[tuple[str, str]] = frozenset()

    def at(self, part: str) -> "Comparison":
        return replace(self, place=f"{self.place} {part}".strip())

    def says(self, what: str) -> Iterator[str]:
        yield f"{self.place}: {what}"


def breaking_changes(old: Part, new: Part) -> list[str]:
    """Name every change of `new` that may break a caller who was written against `old`."""
    both = Comparison(old, new)
    return [change for path in old["paths"] for change in _path(both, path)]


def _path(both: Comparison, path: str) -> Iterator[str]:
    for method, before in both.old["paths"][path].items():
        here = both.at(f"{method.upper()} {path}")
        after = both.new["paths"].get(path, {}).get(method)
        if after is None:
            yield from here.says("is gone")
        else:
            yield from _operation(here, before, after)


def _operation(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    if before["operationId"] != after["operationId"]:
        yield from here.says(f"is called {after['operationId']!r} instead of {before['operationId']!r}")
    if more := _scopes(after) - _scopes(before):
        yield from here.says(f"needs more: {sorted(more)}")
    sending = replace(here, is_sent=True)
    yield from _parameters(sending, before, after)
    yield from _body(sending.at("body"), before.get("requestBody", {}), after.get("requestBody", {}))
    for status, answer in before["responses"].items():
        there = here.at(status)
        if status not in after["responses"]:
            yield from there.says("is no longer answered")
        else:
            yield from _answer(there, answer, after["responses"][status])


def _scopes(operation: Part) -> set[str]:
    return {f"{way} {scope}" for need in operation.get("security", ()) for way in need for scope in ["", *need[way]]}


def _parameters(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    old = {(one["in"], one["name"]): one for one in before.get("parameters", ())}
    new = {(one["in"], one["name"]): one for one in after.get("parameters", ())}
    for key, parameter in new.items():
        there = here.at(f"{key[0]} {key[1]}")
        if parameter.get("required") and not old.get(key, {}).get("required"):
            yield from there.says("must be sent now")
    for key, parameter in old.items():
        there = here.at(f"{key[0]} {key[1]}")
        if key not in new:
            yield from there.says("is no longer read")
        else:
            yield from _schema(there, *_as_text(parameter["schema"], new[key]["schema"]))


def _as_text(before: Part, after: Part) -> tuple[Part, Part]:
    """Take parameters as they travel: null cannot be sent, and a list of one is its item."""
    old = [one for one in before.get("anyOf", [before]) if one.get("type") != "null"]
    new = after.get("anyOf", [after])
    items = [one["items"] for one in new if one.get("type") == "array" and "items" in one]
    return {"anyOf": old}, {"anyOf": [*new, *items]}


def _body(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    if after.get("required") and not before.get("required"):
        yield from here.says("must be sent now")
    yield from _content(here, before, after)


def _answer(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    for kind in ("headers", "links"):
        for name in sorted(set(before.get(kind, ())) - set(after.get(kind, ()))):
            yield from here.says(f"lost {name!r} of its {kind}")
    yield from _content(here, before, after)


def _content(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    for media_type, content in before.get("content", {}).items():
        there = here.at(media_type)
        if media_type not in after.get("content", {}):
            yield from there.says("is gone")
        else:
            yield from _schema(there, content.get("schema", {}), after["content"][media_type].get("schema", {}))


def _schema(here: Comparison, before: Part, after: Part) -> Iterator[str]:
    pair = (before.get("$ref", ""), after.get("$ref", ""))
    if all(pair):
        if pair in here.seen:
            return
        here = replace(here, seen=here.seen | {pair})
    old, new = _options(here.old, before), _options(here.new, after)
    wanted, had = (old, new) if here.is_sent else (new, old)
    for name in sorted(wanted.keys() - had.keys()):
        if not (name == "integer" and "number" in had):
            yield from here.says(f"may {'no longer' if here.is_sent else 'now'} be {name}")
    for name in sorted(old.keys() & new.keys()):
        yield from _option(here, old[name], new[name])


def _options(document: Part, schema: Part) -> dict[str, Part]:
    """Take a schema apart into what it may be, by type, and objects by what tells them apart."""
    schema = _resolve(document, schema)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return {name: part for one in alternatives for name, part in _options(document, one).items()}
    kinds = schema.get("type", "anything")
    return {f"{kind}{_told_apart_by(schema)}": schema for kind in ([kinds] if isinstance(kinds, str) else kinds)}


def _told_apart_by(schema: Part) -> str:
    kind = schema.get("properties", {}).get("kind", {})
    return f" of kind {kind['const']!r}" if "const" in kind else ""


def _resolve(document: Part, schema: Part) -> Part:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _option(here: Comparison, old: Part, new: Part) -> Iterator[str]:
    if old.get("format") != new.get("format"):
        yield from here.says(f"has the format {new.get('format')!r} instead of {old.get('format')!r}")
    yield from _narrowed(here, old, new) if here.is_sent else ()
    yield from _fields(here, old, new)
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
            yield from _schema(here.at("[]"), old[inner], new[inner])


def _narrowed(here: Comparison, old: Part, new: Part) -> Iterator[str]:
    for bound in (*LOWER, *UPPER):
        before, after = old.get(bound), new.get(bound)
        if after is not None and (before is None or (after > before if bound in LOWER else after < before)):
            yield from here.says(f"{bound} is {after}, was {before}")
    if new.get("pattern") not in (None, old.get("pattern")):
        yield from here.says("has another pattern")
    before, after = _values(old), _values(new)
    if after is not None and (before is None or not before <= after):
        yield from here.says(f"no longer takes {sorted((before or {'anything else'}) - after)}")


def _values(schema: Part) -> set[str] | None:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return None if values is None else {repr(value) for value in values}


def _fields(here: Comparison, old: Part, new: Part) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
    if here.is_sent:
        for name in sorted(needed_after - needed_before):
            yield from here.says(f"needs {name!r} now")
    for name, field in before.items():
        there = here.at(f".{name}")
        if name not in after:
            yield from there.says("is gone")
            continue
        if not here.is_sent and name in needed_before - needed_after:
            yield from there.says("may be missing now")
        yield from _schema(there, field, after[name])
