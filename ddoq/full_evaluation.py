"""What full evaluation says beside the scores: how rates were tuned for every contender alike, and on what."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ddoq.contender_names import DISTILLED, FULL_DATA
from ddoq.full_data import FullData
from ddoq.plans import TrainingPlan
from ddoq.student_pool import at_rate
from ddoq.trained import Trained, TrainedManifest
from ddoq.tuning import FACTORS, choose
from ddoq.types import Scores, Tuning

BUDGET = f"{len(FACTORS)} rates x 1 student for each contender and network"


def with_tuning(scores: Scores, trained: Mapping[str, Trained], full: FullData, plan: TrainingPlan) -> Scores:
    """Say how the learning rates of a budget's contenders were chosen, and which images were of no use.

    Args:
        scores: Of the contenders.
        trained: What was found in training them.
        full: All training images.
        plan: Networks and recipe, but for the learning rate.
    """
    told = trained[DISTILLED].manifest
    n_validation = sum(full.dataset.counts["validation"]) - told.n_bad
    return replace(
        scores,
        tuning=_tuning(trained, n_validation, plan),
        figures={"validation_images": n_validation, "full_data.images": full.n_drawn(plan)},
        remarks=tuple(_remarks(full, plan, told)),
        n_bad=told.n_bad,
    )


def tuned(plan: TrainingPlan, tuning: Tuning | None, contender: str) -> TrainingPlan:
    """Write a contender's rates into the plan."""
    if tuning is None:
        return plan
    for network, rates in tuning.rates.items():
        plan = at_rate(plan, network, rates[contender])
    return plan


def _tuning(trained: Mapping[str, Trained], n_images: int, plan: TrainingPlan) -> Tuning:
    """Put together what was tried of all contenders."""
    networks = [network.name for network in plan.protocol.networks]
    rates = {name: choose(its.manifest.trials, plan) for name, its in trained.items()}
    return Tuning(
        budget=BUDGET,
        factors=FACTORS,
        n_images=n_images,
        rates={network: {name: its[network] for name, its in rates.items()} for network in networks},
        accuracy={
            network: {name: its.manifest.trials[network] for name, its in trained.items()} for network in networks
        },
    )


def _remarks(full: FullData, plan: TrainingPlan, told: TrainedManifest) -> Iterator[str]:
    if first := told.first_bad:
        yield f"{told.n_bad:,} validation images do not decode and were skipped, such as {first.key} ({first.reason})."
    if (n_drawn := full.n_drawn(plan)) < (n_wanted := full.n_wanted(plan)):
        yield (
            f"Students of {FULL_DATA} would see {n_wanted:,} training images; as many as are held in memory were drawn "
            f"at random: {n_drawn:,}."
        )
