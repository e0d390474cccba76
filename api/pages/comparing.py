"""Two jobs side by side: what they were asked that differs, which is better, and whether that is more than noise."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from api.pages.job_images import Images, ShownClass, show_classes
from api.pages.job_report import ReportFile, in_percent, in_points
from ddoq.conclusions import Comparison, Spread, compare_apart
from ddoq.config import DistillConfig
from ddoq.measure_words import in_bytes

MOST_DIFFERENCES: Final = 60
ABSENT: Final = "–"
BESIDE: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = MappingProxyType(
    {
        "distilled_images": ("distilled images", "{:,.0f}".format),
        "train_images_per_distilled_image": ("training images for each of them", "{:,.4g}".format),
        "distortion": ("distortion", "{:,.6g}".format),
        "coverage.distilled": ("coverage", "{:.1%}".format),
        "bytes.distilled": ("size of the distilled set", in_bytes),
    }
)
"""Figures that say much, in words and in their units."""


@dataclass(frozen=True)
class Difference:
    """A place in the config, and what either has there."""

    path: str
    one: str
    other: str


@dataclass(frozen=True)
class Row:
    """A number of both, and what to make of it."""

    name: str
    one: str
    other: str
    conclusion: str


@dataclass(frozen=True)
class Pair:
    """A class that both have."""

    name: str
    one: ShownClass
    other: ShownClass


def differences(one: DistillConfig, other: DistillConfig) -> tuple[Difference, ...]:
    """List where two configs differ, in the order of the config."""
    mine, its = (dict(_flat("", config.model_dump(mode="json"))) for config in (one, other))
    paths = [path for path in {**mine, **its} if mine.get(path) != its.get(path)]
    return tuple(Difference(path, mine.get(path, ABSENT), its.get(path, ABSENT)) for path in paths[:MOST_DIFFERENCES])


def do_compare(one: DistillConfig, other: DistillConfig) -> bool:
    """Whether accuracies of two jobs compare: the same test data, and students trained alike."""
    return (
        one.dataset == other.dataset
        and one.validation_share == other.validation_share
        and one.student_resolution == other.student_resolution
        and one.resolved_protocol == other.resolved_protocol
    )


def accuracies(one: ReportFile, other: ReportFile, *, are_alike: bool) -> tuple[Row, ...]:
    """Put the accuracies of contenders that both have side by side."""
    rows = []
    for name in sorted(one.accuracy.keys() & other.accuracy.keys(), key=lambda name: (name != "distilled", name)):
        mine, its = (
            Spread(report.accuracy[name].mean, report.accuracy[name].deviation, len(report.accuracy[name].values))
            for report in (one, other)
        )
        words = _better(compare_apart(mine, its, name)) if are_alike else ""
        rows.append(Row(name, _percent(mine), _percent(its), words))
    return tuple(rows)


def figures(one: ReportFile, other: ReportFile) -> tuple[Row, ...]:
    """Put other numbers that say much side by side, without a verdict."""
    both = one.figures.keys() & other.figures.keys()
    return tuple(
        Row(words, write(one.figures[name]), write(other.figures[name]), "")
        for name, (words, write) in BESIDE.items()
        if name in both
    )


def common_classes(one: Images, other: Images, sought: str) -> list[tuple[int, int]]:
    """Find the labels of the classes that both have by name, of those whose names contain what is sought."""
    its = {name: label for label, name in enumerate(other.names)}
    wanted = sought.casefold()
    return [(label, its[name]) for label, name in enumerate(one.names) if name in its and wanted in name.casefold()]


def pair_up(one: Images, other: Images, labels: Sequence[tuple[int, int]], most: int) -> tuple[Pair, ...]:
    """Show up to `most` images of each of these classes in both."""
    mine = show_classes(one, [label for label, _ in labels], most)
    its = show_classes(other, [label for _, label in labels], most)
    return tuple(Pair(each.name, each, beside) for each, beside in zip(mine, its, strict=True))


def _percent(found: Spread) -> str:
    return in_percent(found.mean, found.deviation, found.n)


def _better(found: Comparison) -> str:
    if found.margin is None:
        return "one seed: nobody can tell"
    if found.is_noise:
        return f"no more than noise ({in_points(found)})"
    return f"{'A' if found.gain > 0 else 'B'} is better ({in_points(found)})"


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _flat(f"{path}.{name}" if path else name, below)
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    else:
        yield path, ABSENT if value is None else str(value)
