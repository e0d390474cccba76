"""The evaluate stage: all students take one test; beside it the measures, and the recipe of it all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ddoq.batches import in_groups
from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.contender_names import DISTILLED
from ddoq.contenders import stream_test
from ddoq.datasets import Dataset
from ddoq.evaluate import Candidates, examine, plan_for
from ddoq.events import Event, OnEvent, Stage
from ddoq.full_data import FullData
from ddoq.full_evaluation import tuned, with_tuning
from ddoq.generate import open_images
from ddoq.image_rules import BadImage
from ddoq.label_sizes import label_bytes
from ddoq.latents import Latents, open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.measures import Measured, measure
from ddoq.plans import TrainingPlan
from ddoq.prior import load_encoder
from ddoq.recipes import recipe
from ddoq.run import EvaluateManifest, Run, dataset_of, found
from ddoq.summary import summarize
from ddoq.teach import TAUGHT, TaughtManifest
from ddoq.trained import Trained, load_students, open_trained
from ddoq.types import Report, Scores

MAX_BYTES: Final = 2 * 2**30  # of the weights of all students who are tested together


@dataclass(frozen=True)
class _Entry:
    """The students of a budget, who are to be tested; there are none where nothing is compared."""

    books: Codebooks
    plan: TrainingPlan
    trained: Mapping[str, Trained]

    @property
    def n_bytes(self) -> int:
        return sum(one.n_bytes for one in self.trained.values())


def evaluate_all(run: Run) -> None:
    """Report on every budget, and write the manifest last."""
    dataset, latents = dataset_of(run), open_latents(run.folders[Stage.ENCODE])
    reports, recipes = {}, {}
    for entry, scores, bad in _score(run, dataset, latents):
        name = entry.books.budget.name
        reports[name] = _report_on(run, dataset, entry, scores, bad)
        recipes[name] = recipe(tuned(entry.plan, scores.tuning, DISTILLED), run.config.student_resolution)
    write_manifest(run.folders[Stage.EVALUATE], EvaluateManifest(reports, recipes))


def _score(run: Run, dataset: Dataset, latents: Latents) -> Iterator[tuple[_Entry, Scores, list[BadImage]]]:
    """Test as many budgets together as memory has room for; tell the test images that do not decode."""
    entries = list(_entries(run, latents))
    if run.config.evaluation == "none":
        run.on_event(Event(Stage.EVALUATE, 1, 1))
        yield from ((entry, Scores({}, {}), []) for entry in entries)
        return
    groups = list(in_groups(entries, lambda entry: entry.n_bytes, MAX_BYTES))
    tell = _Readings(run.on_event, sum(dataset.counts["test"]), len(groups))
    for group in groups:
        several, bad = _examine(run, dataset, group, tell)
        for entry, scores in zip(group, several, strict=True):
            yield entry, _tell_tuning(run, dataset, latents, entry, scores), bad
        tell.end_reading()


def _examine(
    run: Run, dataset: Dataset, entries: Sequence[_Entry], on_images: Callable[[int], None]
) -> tuple[list[Scores], list[BadImage]]:
    """Load all students of some budgets and read the test once; answer also the images that do not decode."""
    bad = list[BadImage]()
    every = [_candidates(run, entry) for entry in entries]
    return examine(every, stream_test(run.config, dataset, bad), on_images), bad


def _entries(run: Run, latents: Latents) -> Iterator[_Entry]:
    trained = open_trained(run.folders[Stage.TRAIN]) if Stage.TRAIN in run.config.stages else {}
    for books in open_codebooks(run.folders[Stage.QUANTIZE]):
        plan = plan_for(run.config, books.budget, latents.manifest)
        yield _Entry(books, plan, trained.get(books.budget.name, {}))


def _candidates(run: Run, entry: _Entry) -> Candidates:
    """Load the students of a budget."""
    config, plan = run.config, entry.plan
    loaded = {
        name: load_students(one.folder, plan, config.student_resolution, config.students.seeds)
        for name, one in entry.trained.items()
    }
    networks = [network.name for network in plan.protocol.networks]
    return Candidates({network: {name: each[network] for name, each in loaded.items()} for network in networks}, plan)


def _tell_tuning(run: Run, dataset: Dataset, latents: Latents, entry: _Entry, scores: Scores) -> Scores:
    if run.config.evaluation != "full":
        return scores
    return with_tuning(scores, entry.trained, FullData(run.config, dataset, latents, run.cache), entry.plan)


def _report_on(run: Run, dataset: Dataset, entry: _Entry, scores: Scores, bad: list[BadImage]) -> Report:
    config, books, plan = run.config, entry.books, entry.plan
    latents = open_latents(run.folders[Stage.ENCODE])
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    n_soft = label_bytes(plan.protocol, plan.n_images, plan.n_classes) if config.teacher else 0
    what = Measured(config, dataset.class_names, latents, books, images, lambda: load_encoder(config), n_soft)
    report = summarize(config, dataset, latents, books, scores, bad, measure(what))
    return replace(report, remarks=(*report.remarks, *_on_teacher(run)))


def _on_teacher(run: Run) -> tuple[str, ...]:
    """What there is to say about the teacher, if there is one."""
    if Stage.TEACH not in run.config.stages:
        return found(run).remarks
    return read_manifest(run.folders[Stage.TEACH] / TAUGHT, TaughtManifest).remarks


class _Readings:
    """Counts test images for the listener, as often as they are read."""

    def __init__(self, on_event: OnEvent, n_images: int, n_readings: int) -> None:
        self._on_event, self._n_images, self._n_readings = on_event, n_images, n_readings
        self._n_done, self._n_read = 0, 0

    def __call__(self, n: int) -> None:
        self._n_done += n
        self._tell()

    def end_reading(self) -> None:
        """Count those that do not decode as well."""
        self._n_read += 1
        self._n_done = self._n_read * self._n_images
        self._tell()

    def _tell(self) -> None:
        self._on_event(Event(Stage.EVALUATE, self._n_done, self._n_readings * self._n_images))
