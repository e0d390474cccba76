"""The comparison at its fullest: rates tuned on validation images for every contender alike, full data among them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ddoq.datasets import BadImage, require_readable
from ddoq.evaluate import at_rate, evaluate
from ddoq.events import OnEvent, after
from ddoq.full_data import FULL_DATA, FullData, n_students, train_on_full_data
from ddoq.marks import Batches
from ddoq.plans import TrainingPlan
from ddoq.tuning import FACTORS, Trials, choose, tune
from ddoq.types import Scores, TrainingSet, Tuning

BUDGET = f"{len(FACTORS)} rates x 1 student for each contender and network"


def evaluate_in_full(
    contenders: Mapping[str, Sequence[TrainingSet]],
    full: FullData,
    read: Callable[[list[BadImage]], Batches],
    test: Batches,
    plan: TrainingPlan,
    on_event: OnEvent,
) -> Scores:
    """Tune every contender's learning rate, train its students by it, and test them once.

    Args:
        contenders: Training sets by name: one a seed, and a last one to tune the learning rate on.
        full: All training images, one more contender.
        read: Streams the validation images; those that do not decode go to the list it is given.
        test: Read once, after all training.
        plan: Networks and recipe, but for the learning rate.
        on_event: Told steps of all students, those that rates are tried on included; may raise to stop.

    Raises:
        BadImagesError: too many validation images do not decode, or not one image is left to tune on or to test with.
    """
    config, bad = full.config, list[BadImage]()
    n_each, n_rivals = n_students(config) * plan.steps, len(contenders)
    n_tuned = n_rivals * len(FACTORS) * len(plan.protocol.networks) * plan.steps
    n_total = n_each * (n_rivals + 1)
    last = {name: sets[-1] for name, sets in contenders.items()}
    trials = tune(last, read(bad), plan, config.students.seeds, after(on_event, 0, n_total))
    n_validation = sum(full.dataset.counts["validation"])
    require_readable("validation", bad, n_validation, config.dataset.max_bad_share)
    students, its_trials = train_on_full_data(full, read([]), plan, after(on_event, n_tuned, n_total))
    tuning = _tuning(trials, its_trials, n_validation - len(bad), plan)
    rest = {name: sets[:-1] for name, sets in contenders.items()}
    on_rest = after(on_event, n_tuned + n_each, n_total)
    scores = evaluate(rest, test, plan, on_rest, tuning.rates, students)
    return replace(
        scores,
        tuning=tuning,
        figures={"validation_images": tuning.n_images, "full_data.images": full.n_drawn(plan)},
        remarks=tuple(_remarks(full, plan, bad)),
        n_bad=len(bad),
    )


def tuned(plan: TrainingPlan, tuning: Tuning | None, contender: str) -> TrainingPlan:
    """Write a contender's rates into the plan."""
    if tuning is None:
        return plan
    for network, rates in tuning.rates.items():
        plan = at_rate(plan, network, rates[contender])
    return plan


def _tuning(trials: Trials, full_data: Trials, n_images: int, plan: TrainingPlan) -> Tuning:
    """Put together what was tried of all contenders."""
    accuracy = {network: {**each, **full_data[network]} for network, each in trials.items()}
    return Tuning(BUDGET, FACTORS, n_images, choose(accuracy, plan), accuracy)


def _remarks(full: FullData, plan: TrainingPlan, bad: Sequence[BadImage]) -> Iterator[str]:
    if bad:
        yield f"{len(bad):,} validation images do not decode and were skipped, such as {bad[0].key} ({bad[0].reason})."
    if (n_drawn := full.n_drawn(plan)) < (n_wanted := full.n_wanted(plan)):
        yield (
            f"Students of {FULL_DATA} would see {n_wanted:,} training images; as many as are held in memory were drawn "
            f"at random: {n_drawn:,}."
        )
