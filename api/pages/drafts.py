"""What somebody has filled into the form of a new job, and the request that it makes. Pure."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.bodies import parse
from api.errors import Fault, InvalidRequestError
from api.pages.forms import Form
from api.pages.schema import Input, Section, sections
from api.problems import summarise
from api.views import JobRequest
from ddoq.config import DistillConfig
from jobs.options import JobOptions

UNIONS = ("prior.kind", "teacher.kind")


@dataclass(frozen=True)
class Draft:
    """The sections of a form, and the text in each of its inputs by name."""

    sections: tuple[Section, ...]
    texts: Mapping[str, str]

    @property
    def inputs(self) -> Mapping[str, Input]:
        """All inputs by name."""
        return {given.name: given for section in self.sections for given in section.inputs}

    @property
    def touched(self) -> frozenset[str]:
        """The names of the inputs that say something else than at first."""
        return frozenset(name for name, given in self.inputs.items() if self.texts[name].strip() != given.standard)

    def request(self) -> JobRequest:
        """Make the request.

        Raises:
            InvalidRequestError: a text cannot be read, or what it says is refused.
        """
        made: dict[str, Any] = {}
        faults = [fault for given in self.inputs.values() for fault in self._put(given, made)]
        try:
            request = parse(JobRequest, json.dumps(made).encode())
        except InvalidRequestError as error:
            faults.extend(error.faults)
        if faults:
            raise InvalidRequestError(summarise(faults), faults)
        return request

    def _put(self, given: Input, made: dict[str, Any]) -> Iterator[Fault]:
        """Put into the request what was given, unless that is the default; of what is needed, at least the group."""
        text = self.texts[given.name].strip()
        try:
            value = None if given.may_be_emptied and not text else read_text(given, text)
        except ValueError as error:
            yield Fault(f"/{given.name.replace('.', '/')}", "text", str(error))
            return
        is_default = value == given.default and not given.switches
        is_given = not is_default and (bool(text) or given.kind == "switch" or given.may_be_emptied)
        if is_given or given.is_required:
            *groups, last = given.name.split(".")
            for name in groups:
                made = made.setdefault(name, {})
            made.update({last: value} if is_given else {})


def new_draft() -> Draft:
    """A form that nobody has touched."""
    found = sections({})
    return Draft(found, {given.name: given.standard for section in found for given in section.inputs})


def read_draft(form: Form) -> Draft:
    """Take what a form holds. Inputs of another kind than the chosen one are taken as untouched."""
    found = sections({name: form.get(name) for name in UNIONS if form.has(name)})
    stale = {
        section.name
        for section in found
        if section.union and form.get(f"was.{section.union}") != form.get(section.union)
    }
    return Draft(
        found,
        {
            given.name: _text(form, given, is_stale=section.name in stale and not given.switches)
            for section in found
            for given in section.inputs
        },
    )


def draft_of(config: DistillConfig, options: JobOptions) -> Draft:
    """Fill in a form as a job was asked for."""
    asked = config.model_dump(mode="json") | {"job": options.model_dump(mode="json")}
    groups = {name: asked[name.partition(".")[0]] for name in UNIONS}
    found = sections({name: group["kind"] for name, group in groups.items() if group})
    return Draft(found, {given.name: _text_in(asked, given) for section in found for given in section.inputs})


def _text_in(asked: Mapping[str, Any], given: Input) -> str:
    """Write what a request says at the place of an input: its default where it says nothing, empty in no group."""
    found: Any = asked
    for part in given.name.split("."):
        if found is None:
            return ""
        if part not in found:
            return given.standard
        found = found[part]
    return write_text(given, found)


def _text(form: Form, given: Input, *, is_stale: bool) -> str:
    if is_stale or not (form.has(given.name) or given.kind == "switch"):
        return given.standard
    return form.get(given.name)


def write_text(given: Input, value: Any) -> str:
    """Write a value as `read_text` reads it. Names and lines that hold what separates them come out as others."""
    match value:
        case None | False:
            return ""
        case True:
            return "yes"
        case list():
            return (", " if given.kind == "counts" or given.item == "number" else "\n").join(map(str, value))
        case dict():
            pairs = (f"{name} = {'' if one is None else one}" for name, one in value.items())
            return (", " if given.kind == "counts" else "\n").join(pairs)
    return str(value)


def read_text(given: Input, text: str) -> Any:
    """Read what an input says; a text that should be a number and is none stays a text, to be refused by the model.

    Raises:
        ValueError: it has another form than its kind asks for.
    """
    match given.kind:
        case "number":
            return _number(text)
        case "switch":
            return bool(text)
        case "lines":
            return _items(given, text)
        case "pairs":
            return dict(_pair(given, line) for line in text.splitlines() if line.strip())
        case "counts":
            return _counts(text)
    return text


def _number(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _items(given: Input, text: str) -> list[Any]:
    if given.item == "number":
        return [_number(item) for item in text.replace(",", " ").split()]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pair(given: Input, line: str) -> tuple[str, Any]:
    name, separator, text = (part.strip() for part in line.partition("="))
    if not separator:
        raise ValueError(f"{line.strip()!r} has no '='; write 'name = value', a line each")
    if given.item == "number":
        return name, _number(text)
    return name, None if given.item == "text or null" and not text else text


def _counts(text: str) -> Any:
    """Read one number, several, or one for each class by name."""
    items = [item.strip() for line in text.splitlines() for item in line.split(",") if item.strip()]
    if any("=" in item for item in items):
        pairs = (item.rpartition("=") for item in items)
        return {name.strip(): _number(number.strip()) for name, _, number in pairs}
    return _number(items[0]) if len(items) == 1 else [_number(item) for item in items]
