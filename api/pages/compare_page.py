"""The page that shows two jobs side by side, and on which they are chosen."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.pages import comparing
from api.pages.job_files import artifacts_of, file_of
from api.pages.job_images import Images, find_images
from api.pages.job_page import choose_budget
from api.pages.job_report import ReportFile, read_report
from api.pages.rendering import show
from api.pages.rows import images_in_words
from api.pages.sessions import Looking, Session
from api.paths import require_job_id
from api.services import Services, Using
from ddoq.budgets import budget_names
from jobs.records import Job
from jobs.store import JobFilter

router = APIRouter(include_in_schema=False)

CHOICES: Final = 50  # of the latest jobs
CLASSES, IMAGES = 10, 5  # a page, and of a class


class Asked(BaseModel):
    """Which jobs to compare, of sweeps which budgets, and which classes to show."""

    model_config = ConfigDict(extra="forbid")

    a: str = Field("", max_length=40)
    b: str = Field("", max_length=40)
    budget_a: str = Field("", max_length=40)
    budget_b: str = Field("", max_length=40)
    sought: str = Field("", max_length=200, alias="class")
    page: int = Field(1, ge=1, le=10_000)


@dataclass(frozen=True)
class Side:
    """One of the two, at one of its budgets."""

    letter: str
    job: Job
    file: str | None
    budget: str
    budgets: tuple[str, ...]
    images: Images | None
    report: ReportFile | None

    @property
    def base(self) -> str:
        """Where its images are."""
        return f"/jobs/{self.job.id}/images/{self.budget}/"


@dataclass(frozen=True)
class Classes:
    """A page of the classes that both have."""

    pairs: tuple[comparing.Pair, ...]
    page: int
    n_pages: int


@dataclass(frozen=True)
class Compared:
    """What there is to say of both together; `are_alike` when their accuracies compare."""

    differences: tuple[comparing.Difference, ...]
    are_alike: bool
    accuracies: tuple[comparing.Row, ...]
    figures: tuple[comparing.Row, ...]
    classes: Classes | None


@router.get("/compare")
def compare_jobs(request: Request, session: Looking, using: Using, asked: Annotated[Asked, Query()]) -> Response:
    """Show two jobs side by side; until both are named, let them be chosen."""
    one = _side(using, session, "A", asked.a, asked.budget_a) if asked.a else None
    other = _side(using, session, "B", asked.b, asked.budget_b) if asked.b else None
    recent, _ = using.store.page(session.owner, JobFilter(), None, CHOICES)
    compared = _compare(one, other, asked) if one and other else None
    choices = {job.id: job for job in (*recent, *(side.job for side in (one, other) if side))}
    return show(
        request,
        "compare.html",
        asked=asked,
        one=one,
        other=other,
        choices=list(choices.values()),
        images_in_words=images_in_words,
        compared=compared,
    )


def _side(using: Services, session: Session, letter: str, job_id: str, budget: str) -> Side:
    job = using.store.get(session.owner, require_job_id(job_id))
    chosen, artifacts = choose_budget(job, budget), artifacts_of(using, job)
    return Side(
        letter=letter,
        job=job,
        file=file_of(using, job),
        budget=chosen,
        budgets=budget_names(job.config),
        images=find_images(using, job, artifacts, chosen),
        report=read_report(using, job, artifacts, chosen),
    )


def _compare(one: Side, other: Side, asked: Asked) -> Compared:
    mine, its = one.job.config, other.job.config
    are_alike = comparing.do_compare(mine, its)
    reports = (one.report, other.report) if one.report and other.report else None
    return Compared(
        differences=comparing.differences(mine, its),
        are_alike=are_alike,
        accuracies=comparing.accuracies(*reports, are_alike=are_alike) if reports else (),
        figures=comparing.figures(*reports) if reports else (),
        classes=_classes(one.images, other.images, asked) if one.images and other.images else None,
    )


def _classes(one: Images, other: Images, asked: Asked) -> Classes:
    labels = comparing.common_classes(one, other, asked.sought)
    n_pages = max(1, -(-len(labels) // CLASSES))
    page = min(asked.page, n_pages)
    shown = labels[(page - 1) * CLASSES : page * CLASSES]
    return Classes(comparing.pair_up(one, other, shown, IMAGES), page, n_pages)
