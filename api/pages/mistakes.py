"""What is wrong with a form, said beside the inputs that it is about. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from api.pages.schema import Section
from api.problem_shapes import FaultView, Problem


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong. `name` is the input that it is about; null where it is about several."""

    name: str | None
    label: str
    message: str


@dataclass(frozen=True)
class Refusal:
    """Why a form was refused: the code, each mistake, and what to do where no mistake says it."""

    code: str
    hint: str
    mistakes: tuple[Mistake, ...]
    beside: Mapping[str, tuple[str, ...]]


def explain(problem: Problem, shown: Sequence[Section]) -> Refusal:
    """Say where in the form each fault of a problem lies; without any, the problem itself is the mistake."""
    labels = {given.name: _label(section, given.label) for section in shown for given in section.inputs}
    mistakes = tuple(_mistake(fault, labels) for fault in problem.errors)
    beside: dict[str, tuple[str, ...]] = {}
    for mistake in mistakes:
        if mistake.name:
            beside[mistake.name] = (*beside.get(mistake.name, ()), mistake.message)
    return Refusal(problem.code, problem.hint, mistakes or (Mistake(None, "", problem.detail),), beside)


def _mistake(fault: FaultView, labels: Mapping[str, str]) -> Mistake:
    name = _nearest(fault.pointer, labels)
    return Mistake(name, labels[name] if name else "", _sentence(fault))


def _nearest(pointer: str, names: Collection[str]) -> str | None:
    """Find the input of a pointer, or that around it: of a list, or of the kind of a group."""
    parts = pointer.strip("/").split("/")
    for n_parts in range(len(parts), 0, -1):
        name = ".".join(parts[:n_parts])
        if name in names:
            return name
        if f"{name}.kind" in names:
            return f"{name}.kind"
    return None


def _label(section: Section, label: str) -> str:
    return label if section.name in {"", "dataset", "job"} else f"{section.title}: {label[0].lower()}{label[1:]}"


def _sentence(fault: FaultView) -> str:
    """Say what the model's library says in its own words in ours, and leave out what it puts before ours."""
    return "This is needed." if fault.code == "missing" else fault.message.removeprefix("Value error, ")
