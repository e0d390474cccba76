"""The evaluate stage: as much comparing as the config asks for, the measures beside it, and the recipe of it all."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import floor

from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.comparison import DISTILLED
from ddoq.contenders import gather_contenders, stream_test
from ddoq.datasets import BadImage
from ddoq.evaluate import evaluate, plan_for
from ddoq.events import Event, OnEvent, Stage
from ddoq.full_data import FullData
from ddoq.full_evaluation import evaluate_in_full, tuned
from ddoq.generate import open_images
from ddoq.label_sizes import label_bytes
from ddoq.labels import SoftLabels
from ddoq.latents import open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.measures import Measured, measure
from ddoq.plans import TrainingPlan
from ddoq.prior import load_encoder
from ddoq.recipes import recipe
from ddoq.run import EvaluateManifest, Run, dataset_of, found, labels_of, teacher_of
from ddoq.summary import summarize
from ddoq.teach import TAUGHT, TaughtManifest
from ddoq.types import Report, Scores

PIECES = 10  # of a step, in which progress over several budgets is told


def evaluate_all(run: Run) -> None:
    """Report on every budget, and write the manifest last."""
    every, latents = open_codebooks(run.folders[Stage.QUANTIZE]), open_latents(run.folders[Stage.ENCODE])
    plans = {books.budget.name: plan_for(run.config, books.budget, latents.manifest) for books in every}
    lengths = [plan.steps for plan in plans.values()]
    reports = {
        books.budget.name: _report_on(run, books, plans[books.budget.name], _turn(run.on_event, index, lengths))
        for index, books in enumerate(every)
    }
    recipes = {
        name: recipe(tuned(plan, reports[name].tuning, DISTILLED), run.config.student_resolution)
        for name, plan in plans.items()
    }
    write_manifest(run.folders[Stage.EVALUATE], EvaluateManifest(reports, recipes))


def _report_on(run: Run, books: Codebooks, plan: TrainingPlan, on_event: OnEvent) -> Report:
    config, dataset, bad = run.config, dataset_of(run), list[BadImage]()
    latents = open_latents(run.folders[Stage.ENCODE])
    scores = _score(run, books, plan, bad, on_event)
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    n_soft = label_bytes(plan.protocol, plan.n_images, plan.n_classes) if config.teacher else 0
    what = Measured(config, dataset.class_names, latents, books, images, lambda: load_encoder(config), n_soft)
    report = summarize(config, dataset, latents, books, scores, bad, measure(what))
    return replace(report, remarks=(*report.remarks, *_on_teacher(run)))


def _score(run: Run, books: Codebooks, plan: TrainingPlan, bad: list[BadImage], on_event: OnEvent) -> Scores:
    """Compare as much as the config asks for."""
    if run.config.evaluation == "none":
        on_event(Event(Stage.EVALUATE, plan.steps, plan.steps))
        return Scores({}, {})
    dataset, latents = dataset_of(run), open_latents(run.folders[Stage.ENCODE])
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    soft_labels = labels_of(run, books) or _live_labels(run)
    contenders = gather_contenders(run.config, dataset, latents, books, images, soft_labels)
    test = stream_test(run.config, dataset, bad)
    if run.config.evaluation == "quick":
        return evaluate(contenders, test, plan, on_event)
    full = FullData(run.config, dataset, latents, run.cache, run.folders[Stage.EVALUATE])
    read = partial(stream_test, run.config, dataset, split="validation")
    return evaluate_in_full(contenders, full, read, test, plan, on_event)


def _live_labels(run: Run) -> SoftLabels | None:
    """Load the teacher, where students ask it themselves."""
    if run.config.resolved_protocol.labels != "live":
        return None
    teacher = teacher_of(run)
    return SoftLabels(teacher, (teacher,) * run.config.n_draws)


def _on_teacher(run: Run) -> tuple[str, ...]:
    """What there is to say about the teacher, if there is one."""
    if Stage.TEACH not in run.config.stages:
        return found(run).remarks
    return read_manifest(run.folders[Stage.TEACH] / TAUGHT, TaughtManifest).remarks


def _turn(on_event: OnEvent, index: int, lengths: Sequence[int]) -> OnEvent:
    """Count the turn `index` of several of these lengths, which may be of unlike numbers of students."""
    if len(lengths) == 1:
        return on_event

    def tell(event: Event) -> None:
        done = sum(lengths[:index]) + lengths[index] * event.done / event.total
        on_event(replace(event, done=floor(PIECES * done), total=PIECES * sum(lengths)))

    return tell
