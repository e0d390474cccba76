"""What `validate_only` answers: the dataset as it was found, and the job as it would be run. Pure."""

from collections.abc import Sequence

from pydantic import Field

from api.views import View
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.findings import Findings
from jobs.forecasts import StagePlan

NOT_CHECKED = (
    "whether the images decode",
    "whether the prior's model and the teacher load and fit the classes",
    "whether images of a class are distinct",
)


class ClassView(View):
    """Images of a class, before any was decoded."""

    name: str
    train: int
    test: int
    validation: int | None = Field(description="Held out of those for training; null where evaluation is not full.")


class DatasetView(View):
    """The dataset as a job would see it."""

    format: str = Field(description="As told by its content, by the names of `dataset.format`.")
    n_bytes: int = Field(description="Of the images, encoded; of Parquet, of its files.")
    classes: list[ClassView] = Field(description="In label order.")
    held_out: bool = Field(description="Whether the test images were set aside for want of a test split.")
    left_out: list[str] = Field(description="Sentences on everything that is not used.")
    fingerprint: str = Field(description="Changes with the dataset; SHA-256, hexadecimal.")


class BudgetView(View):
    """An archive that comes out."""

    name: str
    n_images: int


class EstimateView(View):
    """What a stage will take, as far as it is known."""

    seconds: float | None = Field(description="On the workers of now, once they are free; null where nothing is known.")
    peak_bytes: int | None = Field(description="Resident memory of a process at most; null where nothing is known.")
    basis: str = Field(description="Where the numbers come from.")


class StagePlanView(View):
    """A step of the job."""

    stage: Stage
    blocks: int = Field(description="The smallest pieces whose results are kept by themselves.")
    units: int = Field(description="The parts that workers would take of it, as many of them as there are now.")
    estimate: EstimateView


class PlanView(View):
    """What a job would be. Nothing is stored, and no worker is called."""

    config: DistillConfig = Field(description="The config as it would be run, defaults filled in.")
    dataset: DatasetView
    archives: list[BudgetView]
    stages: list[StagePlanView] = Field(description="Every step, in order.")
    seconds: float | None = Field(description="Of all stages; null when that of any is not known.")
    warnings: list[str] = Field(description="What can be run, and may not be meant.")
    not_checked: list[str] = Field(description="What only the job itself finds out.")


def show_plan(config: DistillConfig, findings: Findings, stages: Sequence[StagePlan]) -> PlanView:
    """Show what was found and planned."""
    seconds = [plan.estimate.seconds for plan in stages]
    known = [each for each in seconds if each is not None]
    return PlanView(
        config=config,
        dataset=_show_dataset(findings),
        archives=[BudgetView(name=name, n_images=n) for name, n in findings.n_images.items()],
        stages=[_show_stage(plan) for plan in stages],
        seconds=round(sum(known), 3) if len(known) == len(seconds) else None,
        warnings=list(findings.warnings),
        not_checked=list(NOT_CHECKED),
    )


def _show_dataset(findings: Findings) -> DatasetView:
    listed = findings.listed
    validation = listed.n_validation or (None,) * len(listed.class_names)
    counts = zip(listed.class_names, listed.n_train, listed.n_test, validation, strict=True)
    return DatasetView(
        format=findings.format,
        n_bytes=findings.n_bytes,
        classes=[ClassView(name=name, train=n, test=m, validation=v) for name, n, m, v in counts],
        held_out=listed.held_out,
        left_out=list(listed.left_out),
        fingerprint=listed.fingerprint,
    )


def _show_stage(plan: StagePlan) -> StagePlanView:
    estimate = EstimateView(
        seconds=plan.estimate.seconds, peak_bytes=plan.estimate.peak_bytes, basis=plan.estimate.basis
    )
    return StagePlanView(stage=plan.stage, blocks=plan.n_blocks, units=plan.n_units, estimate=estimate)
