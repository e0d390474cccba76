"""What a person at a terminal sees: a bar for each stage, and the accuracies."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ddoq.events import Event, Stage


class StageBars:
    """One bar a stage, in the order of the flow, on stderr; there is nothing to see before the first news."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._tasks = {stage: self._progress.add_task(stage.value, start=False, total=None) for stage in Stage}

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
    """Write the accuracies among a job's figures as a table, the best contender first."""
    prefix, suffix = "accuracy.", ".mean"
    names = [name[len(prefix) : -len(suffix)] for name in figures if name.startswith(prefix) and name.endswith(suffix)]
    names.sort(key=lambda name: -figures[f"{prefix}{name}{suffix}"])
    rows = [f"{'contender':<16}  accuracy in %"]
    for name in names:
        mean, deviation = (100 * figures[f"{prefix}{name}.{value}"] for value in ("mean", "deviation"))
        rows.append(f"{name:<16}  {mean:5.1f} ± {deviation:.1f}")
    return "\n".join(rows)
