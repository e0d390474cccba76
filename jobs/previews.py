"""Distilled images while their job still runs: those of the blocks that the generate stage has completed.

How a stage is cut depends on the config and the classes alone, so it is known where each image will be before it is.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Engine, Row, select

from ddoq.blocks import FOLDER, Stretch, block_range, cut_codewords
from ddoq.budgets import given_budgets
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
class _Parts:
    """The classes of a job, none until its dataset is read, and the units of its generate stage that were begun."""

    job: Job
    class_names: tuple[str, ...]
    units: Sequence[Row[Any]]


class Previews:
    """Images of jobs that have not ended. Safe to share between threads. Whose the job is is not asked here."""

    def __init__(self, engine: Engine, objects: ObjectStore, kept: KeptJson) -> None:
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._objects = objects
        self._kept = kept

    def class_names(self, job: Job) -> tuple[str, ...]:
        """Name the classes in label order; none until the dataset is read."""
        return self._parts(job).class_names

    def shares(self, job: Job, budget: str, labels: Collection[int]) -> Mapping[int, Mapping[int, float]]:
        """Say which images of some classes are there: the share of its class of each, by class label and codeword."""
        shares: dict[int, dict[int, float]] = {}
        for _, block in self._blocks(self._parts(job), budget, labels):
            for label, found in block.shares.items():
                shares.setdefault(label, {}).update(found)
        return shares

    def image(self, job: Job, budget: str, label: int, codeword: int) -> bytes:
        """Read the PNG of one image.

        Raises:
            ObjectNotFoundError: it is not made yet, or there is none.
        """
        for folder, block in self._blocks(self._parts(job), budget, {label}):
            if codeword in block.shares.get(label, {}):
                return self._objects.read(f"{folder}/{image_path(label, codeword)}")
        raise ObjectNotFoundError(f"job {job.id} has no image {codeword} of class {label} in {budget!r} yet")

    def _parts(self, job: Job) -> _Parts:
        begun = (units.c.job_id == job.id, units.c.stage.in_((Stage.READ, Stage.GENERATE)), units.c.attempt > 0)
        query = select(units.c.stage, units.c.state, units.c.index, units.c.of, units.c.attempt).where(*begun)
        with self._reading.connect() as connection:
            rows = connection.execute(query.order_by(units.c.index)).all()
        is_read = any(row.stage == Stage.READ and row.state == UnitState.DONE for row in rows)
        names = self._listed(job.id, rows).class_names if is_read else ()
        return _Parts(job, names, [row for row in rows if row.stage == Stage.GENERATE])

    def _listed(self, job_id: str, rows: Sequence[Row[Any]]) -> ReadManifest:
        attempt = next(row.attempt for row in rows if row.stage == Stage.READ)
        return self._kept.read(f"{unit_prefix(job_id, Stage.READ, 0, attempt)}/{MANIFEST}", _LISTED)

    def _blocks(self, parts: _Parts, budget: str, labels: Collection[int]) -> Iterator[tuple[str, GeneratedBlock]]:
        """Find the complete blocks that hold images of these classes, each with its folder."""
        if not parts.units:
            return
        cut = cut_codewords(parts.job.config, parts.class_names)
        wanted = list(_touching(parts, cut, budget, labels))
        with ThreadPoolExecutor(N_TRANSFERS) as pool:
            yield from filter(None, pool.map(lambda block: self._block(parts, len(cut), block), wanted))

    def _block(self, parts: _Parts, n_blocks: int, block: int) -> tuple[str, GeneratedBlock] | None:
        """Read what the latest attempt that completed a block says of it."""
        for unit in parts.units:
            if block not in block_range(unit.index, unit.of, n_blocks):
                continue
            for attempt in range(unit.attempt, 0, -1):
                prefix = unit_prefix(parts.job.id, Stage.GENERATE, unit.index, attempt)
                folder = f"{prefix}/{FOLDER}/{block:05d}"
                try:
                    return folder, self._kept.read(f"{folder}/{MANIFEST}", _BLOCK)
                except ObjectNotFoundError:
                    continue
        return None


def _touching(parts: _Parts, cut: Sequence[Stretch], budget: str, labels: Collection[int]) -> Iterator[int]:
    """Number the blocks that may hold images of these classes: all of the budget, where shares are not known."""
    budgets = given_budgets(parts.job.config, parts.class_names) or ()
    counts = next((given.counts for given in budgets if given.name == budget), None)
    ends = list(accumulate(counts)) if counts else []
    places = [range(ends[label] - counts[label], ends[label]) for label in labels if counts and label < len(counts)]
    for block, stretch in enumerate(cut):
        if stretch.budget == budget and (counts is None or any(_overlap(stretch.places, own) for own in places)):
            yield block


def _overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
