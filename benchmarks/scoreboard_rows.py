"""The rows of the scoreboard: which there are, which comes first, and the file that keeps what was measured."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ddoq.methods import ReducerName, Weighting

DatasetName = Literal["fashion-mnist", "cifar-10"]
Look = Literal["decoded", "denoised", "real"]  # a point decoded, denoised by a fitted prior; or the image that it is
Labels = Literal["hard", "soft"]

DATASETS: tuple[DatasetName, ...] = ("fashion-mnist", "cifar-10")
IPCS = (1, 10, 50)
WEIGHTINGS: tuple[Weighting, ...] = ("uniform", "share", "sqrt")
LABELS: tuple[Labels, ...] = ("hard", "soft")


@dataclass(frozen=True)
class Maker:
    """What makes the images: a reducer, and what is shown for its points."""

    reducer: ReducerName
    look: Look


DDOQ, DENOISED, RANDOM = Maker("centroid", "decoded"), Maker("centroid", "denoised"), Maker("random", "real")
MAKERS = (
    DDOQ,
    Maker("clvq", "decoded"),
    Maker("medoid", "real"),
    Maker("herding", "real"),
    Maker("k-centre", "real"),
    RANDOM,
)


@dataclass(frozen=True)
class Row:
    """What is measured: training sets of one kind. At one image a class all weights are one, so `uniform` stands."""

    dataset: DatasetName
    ipc: int
    maker: Maker
    weights: Weighting
    labels: Labels


@dataclass(frozen=True)
class Course:
    """How students are trained: figures of different courses never compare. None is the protocol's own."""

    protocol: str
    steps: int | None
    width: int | None
    seeds: int


@dataclass(frozen=True)
class Result:
    """Test accuracy (0 to 1) of a row, a value a seed; where, by which code and with which teacher it was measured."""

    row: Row
    course: Course
    values: tuple[float, ...]
    seconds: float
    commit: str
    machine: str
    teacher: str = ""


LINE = TypeAdapter(Result)


def list_rows(
    datasets: Iterable[DatasetName], ipcs: Iterable[int], makers: Iterable[Maker], labels: Iterable[Labels]
) -> list[Row]:
    """List the rows, those first that matter most: DDOQ and random images, few images a class, class labels."""
    rows = [
        Row(dataset, ipc, maker, weights, label)
        for dataset, ipc, maker, label in product(datasets, ipcs, makers, labels)
        for weights in (WEIGHTINGS if ipc > 1 else ("uniform",))
    ]
    return sorted(rows, key=_turn)


def _turn(row: Row) -> tuple[bool, bool, str, int, str]:
    """Rows that can be measured together come one behind the other; the sort keeps the order of the rest."""
    is_main = row.maker in (DDOQ, DENOISED, RANDOM)
    return row.ipc > 10, not is_main, row.labels, row.ipc, row.dataset


def in_groups(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """Cut rows into groups of at most `size` neighbours of one dataset, number of images and kind of labels."""
    group: list[Row] = []
    for row in rows:
        if group and (len(group) == size or _kind(row) != _kind(group[0])):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _kind(row: Row) -> tuple[str, int, str]:
    return row.dataset, row.ipc, row.labels


def read_results(file: Path, course: Course) -> dict[Row, Result]:
    """Read what was measured under a course; a line that was cut off while it was written is no result."""
    if not file.exists():
        return {}
    lines = file.read_bytes().split(b"\n")[:-1]
    results = (LINE.validate_json(line) for line in lines)
    return {result.row: result for result in results if result.course == course}


def append_results(file: Path, results: Collection[Result]) -> None:
    """Append lines, behind the last whole one, and leave only when they are on the disk."""
    with file.open("ab+") as lines:
        lines.seek(0)
        whole = lines.read().rpartition(b"\n")
        lines.truncate(len(whole[0]) + len(whole[1]))
        lines.write(b"".join(LINE.dump_json(result) + b"\n" for result in results))
        lines.flush()
        os.fsync(lines.fileno())
