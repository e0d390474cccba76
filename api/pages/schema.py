"""The JSON schema of a request to the inputs of a form, section by section. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from api.views import JobRequest

Kind = Literal["choice", "number", "switch", "line", "lines", "pairs", "counts"]
Node = Mapping[str, Any]

DIAL, ADDRESS = "images_per_class", "dataset.uri"
"""What is asked for first; everything else has a default."""
_LABELS = {ADDRESS: "Dataset URI"}
_TITLES = {"": "Method, evaluation, seed", "job": "Job: labels, priority, limits"}


@dataclass(frozen=True)
class Input:
    """One thing that may be given. `name` is its path in the request, with dots.

    `default` is what counts when nothing is given; null where it depends on other inputs. An input that
    `may_be_emptied` has a default, and says null without it. `least`, `most` and `step` are attributes, empty where
    there is no bound. `item` is what lines and the values of pairs are.
    """

    name: str
    label: str
    hint: str
    kind: Kind
    default: Any
    is_required: bool
    choices: tuple[str, ...] = ()
    least: str = ""
    most: str = ""
    step: str = "any"
    most_characters: int | None = None
    item: Literal["text", "number", "text or null"] = "text"
    switches: bool = False
    may_be_emptied: bool = False

    @property
    def standard(self) -> str:
        """The default as it is written into the input."""
        if self.kind == "switch":
            return "yes" if self.default else ""
        return str(self.default) if isinstance(self.default, str | int | float) else ""


@dataclass(frozen=True)
class Section:
    """Inputs that belong together. `union` names the input that says of which kind the others are, if one does."""

    name: str
    title: str
    hint: str
    inputs: tuple[Input, ...]
    union: str | None = None


def sections(kinds: Mapping[str, str]) -> tuple[Section, ...]:
    """Make the sections of the form, the rest of the root first.

    Args:
        kinds: What was chosen for an input that switches others, by its name; where nothing was, its default counts.
    """
    schema = _schema()
    root = [Section("", _TITLES[""], "", tuple(_inputs(schema, "", kinds, is_root=True)))]
    return (*root, *(_section(name, node, kinds) for name, node in schema["properties"].items() if _is_group(node)))


@cache
def _schema() -> Node:
    return JobRequest.model_json_schema()


def _section(name: str, node: Node, kinds: Mapping[str, str]) -> Section:
    found, is_optional = _look(node)
    title = _TITLES.get(name, _words(name))
    if "discriminator" not in found:
        return Section(name, title, _first_line(found), tuple(_inputs(found, f"{name}.", kinds)))
    default = "" if is_optional else node["default"]["kind"]
    known = found["discriminator"]["mapping"]
    kind = kinds.get(f"{name}.kind", default)
    chosen, hint = (_follow({"$ref": known[kind]}), node.get("description", "")) if kind in known else (None, "")
    choice = Input(
        name=f"{name}.kind",
        label="Kind",
        hint=_first_line(chosen) if chosen else node.get("description", ""),
        kind="choice",
        default=default or None,
        is_required=False,
        choices=tuple(known),
        switches=True,
    )
    inputs = tuple(_inputs(chosen, f"{name}.", kinds)) if chosen else ()
    return Section(name, title, hint, (choice, *inputs), union=choice.name)


def _inputs(group: Node, prefix: str, kinds: Mapping[str, str], *, is_root: bool = False) -> Iterator[Input]:
    """Walk the inputs of a group; those of a group inside of it come in its place."""
    for name, node in group["properties"].items():
        if "const" in node:
            continue
        if not _is_group(node):
            yield _input(f"{prefix}{name}", node, is_required=name in group.get("required", ()))
        elif not is_root:
            yield from _inputs(_look(node)[0], f"{prefix}{name}.", kinds)


def _input(name: str, node: Node, *, is_required: bool) -> Input:
    found, is_optional = _look(node)
    least, most, step = _bounds(found)
    return Input(
        name=name,
        label=_LABELS.get(name) or _words(name.partition(".")[2] or name),
        hint=node.get("description", ""),
        kind=_kind(found),
        default=node.get("default"),
        is_required=is_required,
        choices=tuple(_choices(found)),
        most_characters=found.get("maxLength"),
        least=least,
        most=most,
        step=step,
        item=_item(found),
        may_be_emptied=is_optional and node.get("default") is not None,
    )


def _kind(node: Node) -> Kind:
    if _choices(node):
        return "choice"
    if "oneOf" in node:
        return "counts"
    kinds: dict[str, Kind] = {
        "boolean": "switch",
        "integer": "number",
        "number": "number",
        "string": "line",
        "array": "lines",
        "object": "pairs",
    }
    return kinds[node["type"]]


def _choices(node: Node) -> list[str]:
    if "anyOf" in node:
        return [choice for one in node["anyOf"] for choice in _choices(one)]
    return list(node.get("enum", [node["const"]] if "const" in node else []))


def _item(node: Node) -> Literal["text", "number", "text or null"]:
    if "prefixItems" in node:
        return "number"
    inside = node.get("items") or node.get("additionalProperties") or {}
    if inside.get("type") in {"integer", "number"}:
        return "number"
    return "text or null" if "anyOf" in inside else "text"


def _bounds(node: Node) -> tuple[str, str, str]:
    """Tell the least and the most number, empty where there is no bound or none that matters, and the step."""
    if node.get("type") not in {"integer", "number"}:
        return "", "", "any"
    least, most = (node.get(f"{end}imum", node.get(f"exclusive{end.capitalize()}imum", "")) for end in ("min", "max"))
    step = str(node.get("multipleOf", 1)) if node["type"] == "integer" else "any"
    return str(least), "" if most == 2**63 else str(most), step


def _is_group(node: Node) -> bool:
    found, _ = _look(node)
    return "properties" in found or "discriminator" in found


def _look(node: Node) -> tuple[Node, bool]:
    """Look through references and optional values; tell whether null may be given."""
    found = _follow(node)
    others = [one for one in found.get("anyOf", ()) if one.get("type") != "null"]
    is_optional = len(others) < len(found.get("anyOf", ()))
    return (_follow(others[0]), True) if is_optional and len(others) == 1 else (found, is_optional)


def _follow(node: Node) -> Node:
    if "$ref" not in node:
        return node
    found: Node = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _words(name: str) -> str:
    """Write a name as words; the unit of seconds in brackets."""
    stem, is_in_seconds = name.removesuffix("_s"), name.endswith("_s")
    words = stem.replace(".", " ").replace("_", " ").capitalize()
    return f"{words} (s)" if is_in_seconds else words


def _first_line(node: Node) -> str:
    return str(node.get("description", "")).partition("\n")[0]
