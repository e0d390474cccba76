"""What a person sees while something runs: on stderr, bars at a terminal, else plain lines; and the accuracies."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from ddoq.events import Event
from ddoq.measure_words import in_bytes

ACCURACY = re.compile(
    r"((?P<budget>[^.]+)\.)?(accuracy|accuracy_by_network\.(?P<network>[^.]+))\.(?P<contender>.+)\.mean"
)
BESIDE_STAGE = 34  # columns beside a bar: a stage's name, a count in the millions, a clock
BESIDE_FILE = 60  # a file's name, as long as ours are, its size, a speed


class Stages(Protocol):
    """Shows how far each stage is."""

    def on_event(self, event: Event) -> None:
        """Show the news of a stage."""

    def show(self, stage: str, done: int, total: int, seconds: float | None = None) -> None:
        """Show that `done` of `total` pieces of a stage, 0 until known, are finished, in `seconds` where counted."""


@contextmanager
def show_stages(stages: Iterable[str]) -> Iterator[Stages]:
    """Show stages, in the order of the flow, until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield StageLines()
        return
    with StageBars(stages, console) as bars:
        yield bars


def _bar(console: Console, n_beside: int) -> BarColumn:
    """Make a bar that leaves room for `n_beside` columns, and for the ^C that a terminal writes behind the last."""
    return BarColumn(bar_width=max(4, min(40, console.width - n_beside - len("^C") - 1)))


class StageBars:
    """One bar a stage, from the start on: what is loaded before the first news takes seconds."""

    def __init__(self, stages: Iterable[str], console: Console) -> None:
        name, bar = TextColumn("{task.description:<9}"), _bar(console, BESIDE_STAGE)
        self._progress = Progress(name, bar, MofNCompleteColumn(), TimeElapsedColumn(), console=console)
        self._tasks = {stage: self._progress.add_task(str(stage), start=False, total=None) for stage in stages}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def on_event(self, event: Event) -> None:
        """Move the bar of the event's stage."""
        self.show(event.stage, event.done, event.total)

    def show(self, stage: str, done: int, total: int, seconds: float | None = None) -> None:
        """Move a bar to `done` of `total`; its clock starts when the total is known, or shows `seconds`."""
        if not total:
            return
        task = self._tasks[stage]
        self._progress.start_task(task)
        if seconds is not None:
            self._progress.tasks[task].start_time = self._progress.get_time() - seconds
        self._progress.update(task, completed=done, total=total)


class StageLines:
    """A line when a stage begins and one when it is done: for logs."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def on_event(self, event: Event) -> None:
        """Say what is new of the event's stage."""
        self.show(event.stage, event.done, event.total)

    def show(self, stage: str, done: int, total: int, seconds: float | None = None) -> None:  # noqa: ARG002
        """Say that a stage has begun, or is done, unless that was said."""
        if total:
            self._say(stage, f"begins, {total:,} to do")
        if total and done >= total:
            self._say(stage, "done")

    def _say(self, stage: str, what: str) -> None:
        if (stage, what) not in self._said:
            self._said.add((stage, what))
            click.echo(f"{stage} {what}", err=True)


class BytesColumn(ProgressColumn):
    """How many bytes are there, of how many, and how fast they come, where there is room for that."""

    def __init__(self, console: Console) -> None:
        super().__init__(Column(no_wrap=True))
        self._has_room = console.width >= BESIDE_FILE

    def render(self, task: Task) -> Text:
        """Write it in the units of everything else that people read."""
        speed = f", {in_bytes(task.speed)}/s" if task.speed and self._has_room else ""
        return Text(f"{in_bytes(task.completed)} of {in_bytes(task.total or 0)}{speed}")


@contextmanager
def show_bytes() -> Iterator[Callable[[str, int, int], None]]:
    """Show at a terminal how many of the bytes of each file are there; answer what is to be told of them."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _name, _done, _total: None
        return
    name, bar = TextColumn("{task.description}", markup=False), _bar(console, BESIDE_FILE)
    tasks: dict[str, TaskID] = {}
    with Progress(name, bar, BytesColumn(console), console=console) as progress:

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield show


def accuracy_lines(figures: Mapping[str, float]) -> str:
    """Write the accuracies among a job's figures as a table for each budget and network, the best contender first.

    Where there are none, that is said.
    """
    found = [match for name in figures if (match := ACCURACY.fullmatch(name))]
    if not found:
        return "no accuracies: evaluation is none, so no student was trained"
    if any(match["network"] for match in found):  # the first network is among them
        found = [match for match in found if match["network"]]
    found.sort(key=lambda match: -figures[match[0]])
    tables: dict[str, list[str]] = {}
    for match in found:
        heading = " ".join(filter(None, (match["budget"], match["network"]))) or "contender"
        deviation = figures[match[0].removesuffix("mean") + "deviation"]
        rows = tables.setdefault(heading, [f"{heading:<16}  accuracy in %"])
        rows.append(f"{match['contender']:<16}  {100 * figures[match[0]]:5.1f} ± {100 * deviation:.1f}")
    return "\n\n".join("\n".join(tables[heading]) for heading in sorted(tables))
