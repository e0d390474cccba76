"""Results of the scoreboard -> Markdown, with the places where DDOQ does not win."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import sqrt

from scoreboard_rows import (
    DDOQ,
    DENOISED,
    LABELS,
    RANDOM,
    WEIGHTINGS,
    Course,
    DatasetName,
    Labels,
    Look,
    Maker,
    Result,
    Row,
)

from ddoq.comparison import compare
from ddoq.conclusions import Comparison
from ddoq.contender_names import DISTILLED
from ddoq.evaluate import score
from ddoq.methods import Weighting
from ddoq.types import Score

TITLES = {"fashion-mnist": "Fashion-MNIST", "cifar-10": "CIFAR-10"}
REDUCERS = {"centroid": "DDOQ: centroids", "clvq": "D4M's pass (clvq)", "random": "random", "medoid": "medoids"}
LOOKS: Mapping[Look, str] = {
    "decoded": "decoded pixels",
    "denoised": "denoised by a fitted prior",
    "real": "real images",
}
WANTED = 2  # deviations
SHIPPED: Weighting = "sqrt"


@dataclass(frozen=True)
class Head:
    """What the results do not say of themselves."""

    date: str
    command: str
    course: Course
    cut: str


@dataclass(frozen=True)
class Place:
    """A table: one dataset and number of images for each class."""

    dataset: DatasetName
    ipc: int

    def __str__(self) -> str:
        return f"{TITLES[self.dataset]}, {self.ipc} {'image' if self.ipc == 1 else 'images'} a class"

    @property
    def weightings(self) -> Sequence[Weighting]:
        """Those that differ: at one image a class all weights are one."""
        return WEIGHTINGS if self.ipc > 1 else ("uniform",)


@dataclass(frozen=True)
class Board:
    """The rows that were asked for, and what was measured of them."""

    rows: Sequence[Row]
    results: Mapping[Row, Result]

    @cached_property
    def places(self) -> list[Place]:
        return sorted({Place(row.dataset, row.ipc) for row in self.rows}, key=lambda each: (each.dataset, each.ipc))

    @cached_property
    def makers(self) -> list[Maker]:
        return list(dict.fromkeys(row.maker for row in self.rows))

    @cached_property
    def labels(self) -> list[Labels]:
        return [each for each in LABELS if any(row.labels == each for row in self.rows)]

    def find(self, place: Place, maker: Maker, weights: Weighting, labels: Labels) -> Result | None:
        """Look a row up; at one image a class all weightings are one."""
        return self.results.get(Row(place.dataset, place.ipc, maker, weights if place.ipc > 1 else "uniform", labels))

    def best(self, place: Place, maker: Maker, labels: Labels) -> Result | None:
        """The best of all weightings."""
        found = [self.find(place, maker, weights, labels) for weights in WEIGHTINGS]
        return max((each for each in found if each), key=mean_of, default=None)


def render(board: Board, head: Head) -> str:
    """Write all of it: the tables, then what is to be learnt from them."""
    tables = [part for place in board.places for part in (f"## {place}", _table(board, place))]
    parts = (
        *_introduce(board, head),
        *tables,
        "## DDOQ against random real images",
        *_against_random(board),
        "## Uniform, share and square-root weights",
        *_on_weights(board),
        "## Where DDOQ does not win",
        *_on_losses(board),
    )
    return "\n\n".join(parts) + "\n"


def describe(result: Result) -> str:
    """One line for one row."""
    row = result.row
    return f"{Place(row.dataset, row.ipc)}: {name_of(row.maker)}, {row.weights}, {row.labels}: {_percent(result)}"


def name_of(maker: Maker) -> str:
    return f"{REDUCERS.get(maker.reducer, maker.reducer)}, {LOOKS[maker.look]}"


def _introduce(board: Board, head: Head) -> Iterator[str]:
    known = [board.results[row] for row in board.rows if row in board.results]
    commits, machines = sorted({each.commit for each in known}), sorted({each.machine for each in known})
    course, teachers = head.course, sorted({f"{TITLES[r.row.dataset]}: {r.teacher}" for r in known if r.teacher})
    yield "# Scoreboard"
    yield (
        "Test accuracy in percent, mean ± sample deviation over seeds, of students trained on distilled sets. Each "
        "seed draws a new codebook or choice, a new start and new batches. All rows have the same recipe and number of "
        "steps, and the last step counts. Fashion-MNIST: 60,000 training and 10,000 test images at 28 pixels; "
        "CIFAR-10: the 14,000 and 5,000 images of a fixed draw, at 32."
    )
    yield "\n".join(
        (
            f"- {head.date or 'undated'}, commit {', '.join(commits)}; {', '.join(machines)}",
            f"- `{head.command}`",
            f"- protocol `{course.protocol}`, steps: {course.steps or 'its own'}, width: {course.width or 'its own'}, "
            f"{course.seeds} seeds; {len(known)} of {len(board.rows)} rows measured",
            *([f"- quick form: {head.cut}"] if head.cut else ()),
            *([f"- soft labels: fixed logits of each image, of a teacher ({'; '.join(teachers)})"] if teachers else ()),
        )
    )
    yield (
        "Best of a column in bold. At one image a class all weights are one. Weights of chosen images follow the "
        "masses of their Voronoi cells, as those of centroids do."
    )
    if all(row.maker.look != "denoised" for row in board.rows):
        yield (
            "Centroids are decoded as they are, without the diffusion that the method has behind them: these rows are "
            "its lower end. `--fit` adds rows with a prior that is fitted to the data."
        )


def _table(board: Board, place: Place) -> str:
    columns = [(labels, weights) for labels in board.labels for weights in place.weightings]
    captions = [f"{labels}, {weights}" if place.ipc > 1 else labels for labels, weights in columns]
    cells = [[board.find(place, maker, weights, labels) for labels, weights in columns] for maker in board.makers]
    best = [max((mean_of(cell) for cell in column if cell), default=0.0) for column in zip(*cells, strict=True)]
    lines = [f"| | {' | '.join(captions)} |", "|---" * (1 + len(columns)) + "|"]
    for maker, row in zip(board.makers, cells, strict=True):
        texts = [_mark(cell, most) for cell, most in zip(row, best, strict=True)]
        lines.append(f"| {name_of(maker)} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _mark(cell: Result | None, most: float) -> str:
    if cell is None:
        return "-"
    return f"**{_percent(cell)}**" if mean_of(cell) == most else _percent(cell)


def _against_random(board: Board) -> Iterator[str]:
    """The gain of every DDOQ row over random images, labelled alike and with equal weights."""
    yield (
        "Gain in points over as many random real images with the same kind of labels and equal weights; ± is the 95 % "
        "margin of the paired differences. Deviations: the gain by the root of the sum of both squared deviations."
    )
    lines = ["| | labels | DDOQ row | gain | deviations | verdict |", "|---|---|---|---|---|---|"]
    for place, labels, maker in product(board.places, board.labels, _ddoq(board)):
        rival = board.find(place, RANDOM, "uniform", labels)
        for weights in place.weightings:
            mine = board.find(place, maker, weights, labels)
            if mine and rival:
                lines.append(f"| {place} | {labels} | {LOOKS[maker.look]}, {weights} | {_gain_cells(mine, rival)} |")
    yield "\n".join(lines)


def _gain_cells(mine: Result, rival: Result) -> str:
    difference, deviations = between(mine, rival), in_deviations(mine, rival)
    beaten = f"; by more than {WANTED} deviations" if deviations > WANTED else ""
    return f"{_gain(difference)} | {round(deviations, 1) + 0.0:+.1f} | {_verdict(difference, mine)}{beaten}"


def _on_weights(board: Board) -> Iterator[str]:
    """The gain of weights over equal ones, for the same images."""
    yield "Gain in points over equal weights for the same images and labels; a star where it is more than noise."
    lines = ["| | labels | images | share | square root |", "|---|---|---|---|---|"]
    for place, labels, maker in product(board.places, board.labels, board.makers):
        equal, *weighted = (board.find(place, maker, weights, labels) for weights in WEIGHTINGS)
        if equal and any(weighted) and place.ipc > 1:
            cells = " | ".join(_starred(between(each, equal)) if each else "-" for each in weighted)
            lines.append(f"| {place} | {labels} | {name_of(maker)} | {cells} |")
    yield "\n".join(lines)


def _starred(difference: Comparison) -> str:
    return f"{_gain(difference)}{'' if difference.is_noise else ' *'}"


def _on_losses(board: Board) -> Iterator[str]:
    """Name every rival, at its best weights, that DDOQ as shipped does not beat beyond noise."""
    yield (
        f"DDOQ as it is shipped ({SHIPPED} weights) beside every other choice of images with the same kind of labels, "
        "at that one's best weights."
    )
    lines = []
    for place, labels, maker in product(board.places, board.labels, _ddoq(board)):
        if mine := board.find(place, maker, SHIPPED, labels):
            rivals = [board.best(place, each, labels) for each in board.makers if each not in _ddoq(board)]
            found = _tell_duels(mine, [each for each in rivals if each])
            lines.append(f"- {place}, {labels} labels, {LOOKS[maker.look]}, {_percent(mine)}: {found}.")
    yield "\n".join(lines)


def _tell_duels(mine: Result, rivals: Sequence[Result]) -> str:
    """Sort the rivals by what came out, losses first."""
    duels: dict[str, list[str]] = {"worse": [], f"not distinguishable at {len(mine.values)} seeds": [], "better": []}
    for rival in sorted(rivals, key=mean_of, reverse=True):
        duels[_verdict(between(mine, rival), mine)].append(f"{name_of(rival.row.maker)} {_percent(rival)}")
    joins = dict(zip(duels, ("worse than", "not distinguishable from", "better than"), strict=True))
    return "; ".join(f"{joins[verdict]} {', '.join(names)}" for verdict, names in duels.items() if names)


def _ddoq(board: Board) -> list[Maker]:
    return [maker for maker in board.makers if maker in (DDOQ, DENOISED)]


def between(mine: Result, rival: Result) -> Comparison:
    """What `mine` gains over `rival`, paired by seed."""
    (difference,) = compare({DISTILLED: score_of(mine), "rival": score_of(rival)})
    return difference


def in_deviations(mine: Result, rival: Result) -> float:
    """The gain, in deviations of a difference between one student of each."""
    ours, its = score_of(mine), score_of(rival)
    deviation = sqrt(ours.deviation**2 + its.deviation**2)
    return (ours.mean - its.mean) / deviation if deviation else 0.0


def score_of(result: Result) -> Score:
    return score(result.values)


def mean_of(result: Result) -> float:
    return score_of(result).mean


def _percent(result: Result) -> str:
    found = score_of(result)
    return f"{100 * found.mean:.1f} ± {100 * found.deviation:.1f}"


def _gain(difference: Comparison) -> str:
    margin = "" if difference.margin is None else f" ± {100 * difference.margin:.1f}"
    return f"{round(100 * difference.gain, 1) + 0.0:+.1f}{margin}"  # no minus zero


def _verdict(difference: Comparison, mine: Result) -> str:
    if difference.is_noise:
        return f"not distinguishable at {len(mine.values)} seeds"
    return "better" if difference.gain > 0 else "worse"
