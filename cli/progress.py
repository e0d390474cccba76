"""What a person at a terminal sees: a bar for each stage, and the accuracies."""

import re
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ddoq.events import Event, Stage

ACCURACY = re.compile(
    r"((?P<budget>[^.]+)\.)?(accuracy|accuracy_by_network\.(?P<network>[^.]+))\.(?P<contender>.+)\.mean"
)


class StageBars:
    """One bar a stage, in the order of the flow, on stderr; there is nothing to see before the first news."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._tasks = {stage: self._progress.add_task(stage.value, start=False, total=None) for stage in stages}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def on_event(self, event: Event) -> None:
        """Move the bar of the event's stage."""
        self.show(event.stage, event.done, event.total)

    def show(self, stage: Stage, done: int, total: int) -> None:
        """Move a bar to `done` of `total`; its clock starts when the total is known."""
        self._progress.start()
        task = self._tasks[stage]
        if total:
            self._progress.start_task(task)
            self._progress.update(task, completed=done, total=total)


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
