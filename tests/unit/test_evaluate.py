"""Contenders are compared at equal compute, on a test that nobody sees before."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import stdev
from threading import get_ident

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ddoq.errors import BadImagesError
from ddoq.evaluate import Candidates, evaluate, examine, score
from ddoq.events import Event, ignore
from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.protocols import QUICK, SMALL_HARD, Protocol
from ddoq.types import TrainingSet

PLAN = TrainingPlan(
    protocol=replace(QUICK, steps=20, batch_sizes=((1, 8),), networks=(NetworkConfig("convnet-3", width=8),)),
    n_images=8,
    n_classes=2,
    mean=(0.5, 0.5, 0.5),
    deviation=(0.3, 0.3, 0.3),
    seed=0,
    device=torch.device("cpu"),
)
SEVERAL = (NetworkConfig("convnet-3", width=8), NetworkConfig("cifar-resnet-20", width=8))


def varied(**changes: object) -> TrainingPlan:
    """The plan by a changed protocol."""
    return replace(PLAN, protocol=replace(PLAN.protocol, **changes))  # type: ignore[arg-type]


def stripes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with a bright bar, upright or lying: two classes that a student can tell apart."""
    images = torch.randint(100, (n, 3, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    labels = torch.arange(n) % 2
    images[labels == 0, :, 3:5] = 250
    images[labels == 1, :, :, 3:5] = 250
    return images, labels


def training_set(n: int, seed: int = 0) -> TrainingSet:
    images, labels = stripes(n, seed)
    return TrainingSet(images, labels, torch.ones(n))


class Test:
    """Test batches that count how often they are read, and when."""

    __test__ = False

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.steps_done = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.passes.append(self.steps_done)
        images, labels = stripes(40, 99)
        yield from zip(images.split(16), labels.split(16), strict=True)

    def watch(self, event: Event) -> None:
        self.steps_done = event.done


def test_every_contender_takes_the_same_number_of_steps() -> None:
    contenders = {"small": [training_set(4)] * 2, "large": [training_set(30)] * 2}
    events: list[Event] = []
    evaluate(contenders, Test(), PLAN, events.append)
    trained = [event for event in events if event.values][-1]  # the last before the test
    assert trained.done == trained.total == 4 * PLAN.steps


def test_progress_never_goes_back() -> None:
    events: list[Event] = []
    evaluate({"a": [training_set(8)] * 2}, Test(), varied(steps=200), events.append)
    assert [event.done for event in events] == sorted(event.done for event in events)


def test_the_listener_is_called_in_the_thread_of_the_caller() -> None:
    threads = set()
    evaluate({"a": [training_set(8)] * 2}, Test(), PLAN, lambda _event: threads.add(get_ident()))
    assert threads == {get_ident()}


def test_scores_do_not_depend_on_the_number_of_cores() -> None:
    before = torch.get_num_threads()
    scores = []
    for n_cores in (1, 2):
        torch.set_num_threads(n_cores)
        scores.append(evaluate({"a": [training_set(8)] * 3}, Test(), PLAN, ignore))
    torch.set_num_threads(before)
    assert scores[0] == scores[1]


def test_the_number_of_cores_in_use_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    evaluate({"a": [training_set(8)]}, Test(), PLAN, ignore)
    assert torch.get_num_threads() == before


def test_the_test_is_read_once_after_all_training() -> None:
    test = Test()
    evaluate({"a": [training_set(8)] * 2, "b": [training_set(8)]}, test, PLAN, test.watch)
    assert test.passes == [60]


class Always(torch.nn.Module):
    """Says the same class of every image."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.logits = torch.eye(2)[label]

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), 2)


def test_budgets_that_are_tested_together_are_scored_apart_and_read_the_test_once() -> None:
    test, shown = Test(), list[int]()
    zero = Candidates({"convnet-3": {"a": [Always(0)] * 2, "b": [Always(1)]}}, PLAN)
    one = Candidates({"convnet-3": {"a": [Always(1)]}}, varied(batch_sizes=((1, 5),)))
    first, second = examine([zero, one], test, shown.append)
    assert (test.passes, shown) == ([0], [16, 16, 8])
    assert {name: its.values for name, its in first.accuracy.items()} == {"a": (0.5, 0.5), "b": (0.5,)}
    assert (first.by_class, second.by_class) == ({"a": (1.0, 0.0), "b": (0.0, 1.0)}, {"a": (0.0, 1.0)})


def test_contenders_with_the_same_images_score_the_same() -> None:
    sets = [training_set(8), training_set(8)]
    scores = evaluate({"one": sets, "other": sets}, Test(), PLAN, ignore)
    assert scores.accuracy["one"] == scores.accuracy["other"]


def test_the_same_seed_gives_the_same_scores() -> None:
    first = evaluate({"a": [training_set(8)] * 2}, Test(), PLAN, ignore)
    assert evaluate({"a": [training_set(8)] * 2}, Test(), PLAN, ignore) == first


def test_a_contender_scores_the_same_whoever_else_competes() -> None:
    alone = evaluate({"a": [training_set(8)]}, Test(), PLAN, ignore)
    beside = evaluate({"b": [training_set(6, 1)], "a": [training_set(8)]}, Test(), PLAN, ignore)
    assert beside.accuracy["a"] == alone.accuracy["a"]


def test_the_size_of_test_batches_does_not_matter() -> None:
    whole = evaluate({"a": [training_set(8)]}, [stripes(40, 99)], PLAN, ignore)
    assert evaluate({"a": [training_set(8)]}, Test(), PLAN, ignore) == whole


def test_students_learn_what_their_images_show() -> None:
    longer = varied(steps=150)
    right, wrong = training_set(20), training_set(20)
    wrong = TrainingSet(wrong.images, 1 - wrong.labels, wrong.weights)
    scores = evaluate({"right": [right], "wrong": [wrong]}, Test(), longer, ignore)
    assert scores.accuracy["right"].mean > 0.9
    assert scores.accuracy["wrong"].mean < 0.1


def test_weights_of_zero_take_a_class_out_of_training() -> None:
    data = training_set(20)
    only_zeros = TrainingSet(data.images, data.labels, (data.labels == 0).float())
    longer = varied(steps=100)
    assert evaluate({"a": [only_zeros]}, Test(), longer, ignore).accuracy["a"].mean == 0.5


def test_a_listener_that_raises_stops_the_training() -> None:
    def stop(_event: Event) -> None:
        raise InterruptedError

    endless = varied(steps=10**6)
    with pytest.raises(InterruptedError):
        evaluate({"a": [training_set(8)] * 4}, Test(), endless, stop)


def test_an_empty_test_is_refused() -> None:
    with pytest.raises(BadImagesError, match="not one test image"):
        evaluate({"a": [training_set(8)]}, [], PLAN, ignore)


def test_the_deviation_is_that_of_a_sample() -> None:
    values = (0.5, 0.6, 0.9)
    assert score(values).deviation == pytest.approx(stdev(values)) == pytest.approx(0.2081665999)


def test_one_seed_has_no_deviation() -> None:
    assert score([0.7]).deviation == 0.0


def test_every_network_is_tested_on_every_contender() -> None:
    sets = {"one": [training_set(8)] * 2, "other": [training_set(8, 1)] * 2}
    scores = evaluate(sets, Test(), varied(networks=SEVERAL), ignore)
    assert {network: list(by) for network, by in scores.by_network.items()} == {
        "convnet-3": ["one", "other"],
        "cifar-resnet-20": ["one", "other"],
    }
    assert all(len(each.values) == 2 for by in scores.by_network.values() for each in by.values())


def test_a_network_scores_the_same_whatever_other_network_is_trained() -> None:
    alone = evaluate({"a": [training_set(8)]}, Test(), PLAN, ignore)
    among = evaluate({"a": [training_set(8)]}, Test(), varied(networks=SEVERAL[::-1]), ignore)
    assert among.by_network["convnet-3"] == alone.accuracy


def test_the_first_network_decides() -> None:
    scores = evaluate({"a": [training_set(8)]}, Test(), varied(networks=SEVERAL[::-1]), ignore)
    assert scores.accuracy == scores.by_network["cifar-resnet-20"]


@pytest.mark.parametrize("protocol", [QUICK, SMALL_HARD], ids=lambda protocol: protocol.name)
def test_every_student_of_every_network_takes_the_same_steps(protocol: Protocol) -> None:
    events: list[Event] = []
    changes = {"networks": SEVERAL, "steps": protocol.steps and 5, "epochs": ((1, 5),)}
    plan = replace(PLAN, protocol=replace(protocol, **changes))
    evaluate({"small": [training_set(4)], "large": [training_set(30)]}, Test(), plan, events.append)
    assert events[-1].done == events[-1].total == 4 * 5


def test_accuracy_in_a_class_is_the_mean_over_seeds() -> None:
    scores = evaluate({"a": [training_set(8)] * 2}, Test(), PLAN, ignore)
    zeros, ones = scores.by_class["a"]
    assert (zeros + ones) / 2 == pytest.approx(scores.accuracy["a"].mean)  # twenty test images of each


def test_a_class_without_test_images_has_no_accuracy() -> None:
    images, labels = stripes(40, 99)
    scores = evaluate({"a": [training_set(8)]}, [(images[labels == 1], labels[labels == 1])], PLAN, ignore)
    assert scores.by_class["a"] == (None, scores.accuracy["a"].mean)


def test_a_hundred_real_digits_teach_a_student_to_read() -> None:
    digits = load_digits()
    images = torch.from_numpy(digits.images * 255 / 16).to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    labels = torch.from_numpy(digits.target)
    chosen = torch.cat([(labels == label).nonzero()[:10, 0] for label in range(10)])
    data = TrainingSet(images[chosen], labels[chosen], torch.ones(100))
    plan = replace(varied(steps=150, batch_sizes=((1, 32),), networks=(NetworkConfig("convnet-3", 64),)), n_classes=10)
    plan = replace(plan, mean=(0.3,) * 3, deviation=(0.38,) * 3)
    rest = slice(1200, None)
    scores = evaluate({"real": [data]}, [(images[rest], labels[rest])], plan, ignore)
    assert scores.accuracy["real"].mean > 0.7
