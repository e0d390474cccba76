"""What a running stage tells whoever is watching. Torch-free."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Stage(StrEnum):
    """A step of the flow, in the order in which data passes through; `fit`, `teach`, `label` only where asked for."""

    READ = "read"
    ENCODE = "encode"
    FIT = "fit"
    QUANTIZE = "quantize"
    GENERATE = "generate"
    TEACH = "teach"
    LABEL = "label"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PACKAGE = "package"


@dataclass(frozen=True)
class Event:
    """`done` of `total` pieces of a stage are finished; `values` are figures worth watching, by name."""

    stage: Stage
    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


OnEvent = Callable[[Event], None]


class Tally:
    """Counts the pieces of some work of a stage, `total` in all, for a listener."""

    def __init__(self, on_event: OnEvent, stage: Stage, total: int) -> None:
        self._on_event, self._stage, self._done, self._total = on_event, stage, 0, total

    def add(self, n: int, values: Mapping[str, float] | None = None) -> None:
        """Tell that `n` more pieces are finished."""
        self._done += n
        self._on_event(Event(self._stage, self._done, self._total, values or {}))


def after(on_event: OnEvent, n_before: int, n_total: int) -> OnEvent:
    """Count what a part of a stage has done behind what came before it."""
    return lambda event: on_event(replace(event, done=n_before + event.done, total=n_total))


def ignore(_event: Event) -> None:
    """Listen to nothing."""
