"""Distilled images while their job still runs: those of the blocks that the generate stage has completed.

How a stage is cut depends on the config and the classes alone, so it is known where each image will be before it is.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from pydantic import TypeAdapter
from sqlalchemy import Engine, RowMapping, select

from ddoq.blocks import FOLDER, Stretch, block_range, cut_codewords
from ddoq.budgets import given_budgets
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.image_index import GeneratedBlock, image_path
from ddoq.read_manifest import ReadManifest
from jobs.artifacts import MANIFEST, N_TRANSFERS, ObjectStore
from jobs.claims import unit_prefix
from jobs.errors import ObjectNotFoundError
from jobs.kept_json import KeptJson
from jobs.records import Job, UnitState
from jobs.tables import units

_BLOCK, _LISTED = TypeAdapter(GeneratedBlock), TypeAdapter(ReadManifest)


@dataclass(frozen=True)
class _Unit:
    """A unit that was begun: part `index` of `of` of its stage, at its latest attempt."""

    stage: Stage
    is_done: bool
    index: int
    of: int
    attempt: int


@dataclass(frozen=True)
class Preview:
    """The images of a job at one moment. `class_names` are in label order; there are none until its dataset is read."""

    class_names: tuple[str, ...]
    _job: Job
    _generating: Sequence[_Unit]
    _objects: ObjectStore
    _kept: KeptJson

    def shares(self, budget: str, labels: Collection[int]) -> Mapping[int, Mapping[int, float]]:
        """Say which images of some classes are there: the share of its class of each, by class label and codeword."""
        shares: dict[int, dict[int, float]] = {}
        for _, block in self._blocks(budget, labels):
            for label, found in block.shares.items():
                shares.setdefault(label, {}).update(found)
        return shares

    def image(self, budget: str, label: int, codeword: int) -> bytes:
        """Read the PNG of one image.

        Raises:
            ObjectNotFoundError: it is not made yet, or there is none.
        """
        for folder, block in self._blocks(budget, {label}):
            if codeword in block.shares.get(label, {}):
                return self._objects.read(f"{folder}/{image_path(label, codeword)}")
        raise ObjectNotFoundError(f"job {self._job.id} has no image {codeword} of class {label} in {budget!r} yet")

    def _blocks(self, budget: str, labels: Collection[int]) -> Iterator[tuple[str, GeneratedBlock]]:
        """Find the complete blocks that hold images of these classes, each with its folder."""
        if not self._generating or not self.class_names:
            return
        cut = cut_codewords(self._job.config, self.class_names)
        wanted = list(_touching(self._job.config, self.class_names, budget, labels, cut))
        with ThreadPoolExecutor(N_TRANSFERS) as pool:
            yield from filter(None, pool.map(lambda block: self._block(len(cut), block), wanted))

    def _block(self, n_blocks: int, block: int) -> tuple[str, GeneratedBlock] | None:
        """Read what the latest attempt that completed a block says of it."""
        for unit in self._generating:
            if block not in block_range(unit.index, unit.of, n_blocks):
                continue
            for attempt in range(unit.attempt, 0, -1):
                prefix = unit_prefix(self._job.id, Stage.GENERATE, unit.index, attempt)
                folder = f"{prefix}/{FOLDER}/{block:05d}"
                try:
                    return folder, self._kept.read(f"{folder}/{MANIFEST}", _BLOCK)
                except ObjectNotFoundError:
                    continue
        return None


class Previews:
    """Images of jobs that have not ended. Safe to share between threads. Whose the job is is not asked here."""

    def __init__(self, engine: Engine, objects: ObjectStore, kept: KeptJson) -> None:
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._objects = objects
        self._kept = kept

    def look(self, job: Job) -> Preview:
        """Look at what a job has made so far."""
        wanted = (units.c.job_id == job.id, units.c.stage.in_((Stage.READ, Stage.GENERATE)), units.c.attempt > 0)
        query = select(*(units.c[name] for name in ("stage", "state", "index", "of", "attempt"))).where(*wanted)
        with self._reading.connect() as connection:
            begun = [_unit(row) for row in connection.execute(query.order_by(units.c.index)).mappings()]
        generating = [unit for unit in begun if unit.stage is Stage.GENERATE]
        return Preview(self._class_names(job, begun), job, generating, self._objects, self._kept)

    def _class_names(self, job: Job, begun: Sequence[_Unit]) -> tuple[str, ...]:
        for unit in begun:
            if unit.stage is Stage.READ and unit.is_done:
                prefix = unit_prefix(job.id, Stage.READ, unit.index, unit.attempt)
                with suppress(ObjectNotFoundError):  # it has just ended, and was cleaned up
                    return self._kept.read(f"{prefix}/{MANIFEST}", _LISTED).class_names
        return ()


def _unit(row: RowMapping) -> _Unit:
    is_done = row["state"] == UnitState.DONE
    return _Unit(Stage(row["stage"]), is_done, row["index"], row["of"], row["attempt"])


def _touching(
    config: DistillConfig, class_names: Sequence[str], budget: str, labels: Collection[int], cut: Sequence[Stretch]
) -> Iterator[int]:
    """Number the blocks that may hold images of these classes: all of the budget, where shares are not known."""
    budgets = given_budgets(config, class_names) or ()
    counts = next((given.counts for given in budgets if given.name == budget), None)
    ends = list(accumulate(counts)) if counts else []
    places = [range(ends[label] - counts[label], ends[label]) for label in labels if counts and label < len(counts)]
    for block, stretch in enumerate(cut):
        if stretch.budget == budget and (counts is None or any(_overlap(stretch.places, own) for own in places)):
            yield block


def _overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
