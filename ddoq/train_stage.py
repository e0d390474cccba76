"""The train stage: the students of every contender of every budget, a block each. Nobody opens the test here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Final

from torch import nn

from ddoq.batches import in_groups
from ddoq.blocks import gather_blocks, left_to_do, link_files
from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.contender_names import FULL_DATA, LEARN_FROM_TEACHER, contender_names, n_train_blocks
from ddoq.contenders import gather_contenders, stream_test
from ddoq.datasets import Dataset, require_readable
from ddoq.evaluate import plan_for
from ddoq.events import Event, OnEvent, Stage, after
from ddoq.full_data import FullData, train_on_full_data
from ddoq.generate import open_images
from ddoq.here import fresh_folder
from ddoq.image_rules import BadImage
from ddoq.labels import SoftLabels
from ddoq.latents import Latents, open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.plans import TrainingPlan
from ddoq.run import Run, dataset_of, labels_of, teacher_of
from ddoq.student_pool import Lesson, alone_on_cores, at_rate, train_all
from ddoq.trained import TrainedManifest, TrainManifest, contender_folder, save_student
from ddoq.tuning import choose, n_students, tune
from ddoq.types import TrainingSet

STUDENTS_AT_ONCE: Final = 128  # who share a pool, and whose training sets are in memory; those of one block at least

Sets = Mapping[int, tuple[TrainingSet, ...]]  # by number of the block


@dataclass(frozen=True)
class _Block:
    """A contender of a budget, and how it is trained."""

    number: int
    books: Codebooks
    contender: str
    plan: TrainingPlan
    n_students: int

    @property
    def n_steps(self) -> int:
        return self.n_students * self.plan.steps

    @property
    def manifest(self) -> TrainedManifest:
        """What there is to say before anything is trained."""
        return TrainedManifest(self.books.budget.name, self.contender)


def train_blocks(run: Run, blocks: Sequence[int]) -> None:
    """Train the students of some contenders, and write each block as soon as its students are trained.

    What is written does not depend on which blocks are asked for together; those that are complete are left alone.

    Args:
        run: Where the stages are, `train` among them.
        blocks: Numbers of contenders, budget after budget in the order of `contender_names`.

    Raises:
        BadImagesError: too many validation images do not decode, or not one is left to tune on.
    """
    latents = open_latents(run.folders[Stage.ENCODE])
    asked = list(_blocks(run, latents, blocks))
    left = set(left_to_do(run.folders[Stage.TRAIN], blocks))
    steps = _Steps(run.on_event, sum(block.n_steps for block in asked))
    steps.skip(sum(block.n_steps for block in asked if block.number not in left))
    if not left:
        return
    school = _School(run, dataset_of(run), latents, steps)
    rivals = [block for block in asked if block.number in left and block.contender != FULL_DATA]
    for group in in_groups(rivals, lambda block: block.n_students, STUDENTS_AT_ONCE):
        school.train(group)
    for block in asked:
        if block.number in left and block.contender == FULL_DATA:
            school.train_on_full_data(block)


def join_train(run: Run, parts: Sequence[Path]) -> None:
    """Complete the folder of the stage by hard links to the blocks in `parts`, which has every block in some folder."""
    folder, contenders = run.folders[Stage.TRAIN], dict[str, list[str]]()
    for own in gather_blocks(parts, n_train_blocks(run.config)):
        manifest = read_manifest(own, TrainedManifest)
        names = contenders.setdefault(manifest.budget, [])
        if manifest.is_left_out:
            continue
        names.append(manifest.contender)
        target = contender_folder(folder, manifest.budget, manifest.contender)
        link_files(own, target)
        write_manifest(target, manifest)
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, TrainManifest({budget: tuple(names) for budget, names in contenders.items()}))


@dataclass(frozen=True)
class _School:
    """What students are trained with."""

    run: Run
    dataset: Dataset
    latents: Latents
    steps: "_Steps"

    def train(self, blocks: Sequence[_Block]) -> None:
        """Train all students of some blocks together: no core waits for the last student of a block."""
        sets = self._gather(blocks)
        for block in blocks:
            if block.number not in sets:
                write_manifest(self._fresh(block), replace(block.manifest, is_left_out=True))
                self.steps.skip(block.n_steps)
        if competing := [block for block in blocks if block.number in sets]:
            self._train(competing, sets)

    def train_on_full_data(self, block: _Block) -> None:
        """Tune and train the students of all training images."""
        config, folder = self.run.config, self._fresh(block)
        full = FullData(config, self.dataset, self.latents, self.run.cache)
        validation = stream_test(config, self.dataset, [], "validation")
        trials = train_on_full_data(full, validation, block.plan, folder, self.steps.next(block.n_steps))
        write_manifest(folder, replace(block.manifest, trials=trials))

    def _train(self, blocks: Sequence[_Block], sets: Sets) -> None:
        manifests = self._tune(blocks, sets)
        lessons = [
            list(_lessons(block.plan, sets[block.number][: self.run.config.students.seeds], manifest))
            for block, manifest in zip(blocks, manifests, strict=True)
        ]
        everyone = [lesson for some in lessons for lesson in some]
        on_event = self.steps.next(sum(lesson.plan.steps for lesson in everyone))
        with (
            alone_on_cores(blocks[0].plan.device) as threads,
            train_all(everyone, threads, on_event) as students,
        ):
            for block, some, manifest in zip(blocks, lessons, manifests, strict=True):
                _write(self._fresh(block), some, students, manifest)

    def _tune(self, blocks: Sequence[_Block], sets: Sets) -> list[TrainedManifest]:
        """Try learning rates on validation, in full evaluation, and tell what they reached."""
        config = self.run.config
        if config.evaluation != "full":
            return [block.manifest for block in blocks]
        bad = list[BadImage]()
        entries = [(sets[block.number][-1], block.plan) for block in blocks]
        n_trained = config.students.seeds * len(config.student_networks)
        on_event = self.steps.next(sum((block.n_students - n_trained) * block.plan.steps for block in blocks))
        validation = stream_test(config, self.dataset, bad, "validation")
        tried = tune(entries, validation, config.students.seeds, on_event)
        n_validation = sum(self.dataset.counts["validation"])
        require_readable("validation", bad, n_validation, config.dataset.max_bad_share)
        first = bad[0] if bad else None
        return [
            replace(block.manifest, trials=trials, n_bad=len(bad), first_bad=first)
            for block, trials in zip(blocks, tried, strict=True)
        ]

    def _gather(self, blocks: Sequence[_Block]) -> Sets:
        """Load the training sets of some blocks, but for those that come to the same as others."""
        found: dict[int, tuple[TrainingSet, ...]] = {}
        for _, together in groupby(blocks, key=lambda block: block.books.folder):
            some = list(together)
            books, names = some[0].books, {block.contender for block in some}
            images = open_images(self.run.folders[Stage.GENERATE] / books.budget.name)
            labels = self._labels(books) if names & LEARN_FROM_TEACHER else None
            sets = gather_contenders(self.run.config, self.dataset, self.latents, books, images, labels, names)
            found |= {block.number: sets[block.contender] for block in some if block.contender in sets}
        return found

    def _fresh(self, block: _Block) -> Path:
        return fresh_folder(self.run.folders[Stage.TRAIN], block.number)

    def _labels(self, books: Codebooks) -> SoftLabels | None:
        """Open the soft labels of a budget, or the teacher, where students ask it themselves."""
        return labels_of(self.run, books) or self._live_labels

    @cached_property
    def _live_labels(self) -> SoftLabels | None:
        if self.run.config.resolved_protocol.labels != "live":
            return None
        teacher = teacher_of(self.run)
        return SoftLabels(teacher, (teacher,) * self.run.config.n_draws)


class _Steps:
    """Counts the steps of the students of all blocks, part by part."""

    def __init__(self, on_event: OnEvent, n_total: int) -> None:
        self._on_event, self._n_done, self._n_total = on_event, 0, n_total

    def next(self, n_steps: int) -> OnEvent:
        """Listen to the next part, of so many steps."""
        listener = after(self._on_event, self._n_done, self._n_total)
        self._n_done += n_steps
        return listener

    def skip(self, n_steps: int) -> None:
        """Count a part that nobody has to train."""
        self.next(n_steps)(Event(Stage.TRAIN, n_steps, n_steps))


def _blocks(run: Run, latents: Latents, numbers: Sequence[int]) -> Iterator[_Block]:
    names, every = contender_names(run.config), open_codebooks(run.folders[Stage.QUANTIZE])
    for number in numbers:
        books = every[number // len(names)]
        yield _Block(
            number=number,
            books=books,
            contender=names[number % len(names)],
            plan=plan_for(run.config, books.budget, latents.manifest),
            n_students=n_students(run.config),
        )


def _lessons(plan: TrainingPlan, sets: Sequence[TrainingSet], manifest: TrainedManifest) -> Iterator[Lesson]:
    """List the students of a block, a seed a set, by the rates that did best."""
    rates = choose(manifest.trials, plan)
    for network in plan.protocol.networks:
        for seed, data in enumerate(sets):
            yield Lesson(network, seed, data, at_rate(plan, network.name, rates.get(network.name)))


def _write(folder: Path, lessons: Sequence[Lesson], students: Iterator[nn.Module], manifest: TrainedManifest) -> None:
    """Write the next students as they are trained, and their manifest last."""
    for lesson in lessons:
        save_student(next(students), folder, lesson.network.name, lesson.seed)
    write_manifest(folder, manifest)
