"""A plan in words: what was found, what would be made, how long it takes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.pages.wording import about
from api.plan_views import ClassView, PlanView
from ddoq.measure_words import in_bytes

MOST_CLASSES = 20  # of which each is told by itself


@dataclass(frozen=True)
class PlanWords:
    """What a plan comes to, and the classes that there is room for."""

    verdict: str
    dataset: str
    classes: Sequence[ClassView]
    others: str
    bases: Mapping[str, str]  # where estimates come from, and of which stages


def tell_plan(plan: PlanView) -> PlanWords:
    """Put a plan into sentences."""
    classes, rest = plan.dataset.classes[:MOST_CLASSES], plan.dataset.classes[MOST_CLASSES:]
    return PlanWords(_verdict(plan), _dataset(plan), classes, _others(rest), _bases(plan))


def _verdict(plan: PlanView) -> str:
    n_images = " and ".join(f"{archive.n_images:,}" for archive in plan.archives)
    n_train = sum(one.train for one in plan.dataset.classes)
    time = about(plan.seconds) if plan.seconds is not None else "a time that is not known yet"
    return f"{n_images} images would stand for {n_train:,} training images, after {time}."


def _dataset(plan: PlanView) -> str:
    found = plan.dataset
    n_test = sum(one.test for one in found.classes)
    held_out = ", held out of the training images" if found.held_out else ""
    return (
        f"{len(found.classes):,} classes, read as {found.format}, {in_bytes(found.n_bytes)}; "
        f"{n_test:,} test images{held_out}."
    )


def _others(rest: Sequence[ClassView]) -> str:
    if not rest:
        return ""
    least, most = min(one.train for one in rest), max(one.train for one in rest)
    return f"{len(rest):,} more classes, with {least:,} to {most:,} training images each."


def _bases(plan: PlanView) -> Mapping[str, str]:
    stages: dict[str, list[str]] = {}
    for one in plan.stages:
        stages.setdefault(one.estimate.basis, []).append(one.stage)
    return {basis: ", ".join(names) for basis, names in stages.items()}
