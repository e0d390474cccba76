"""How one student is trained: what a protocol decides, and what a seed does."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor, nn

from ddoq.augment import Normalise
from ddoq.networks import NetworkConfig, make_network
from ddoq.plans import TrainingPlan
from ddoq.protocols import MINIMAX_HARD, PROTOCOLS, QUICK, SMALL_HARD, AugmentConfig, Drops, OptimizerConfig, Protocol
from ddoq.seeds import stream
from ddoq.students import make_optimizer, normalise, train
from ddoq.types import TrainingSet
from ddoq.views import draw_batches

CONVNET = NetworkConfig("convnet-3", width=8)


def plan_of(protocol: Protocol = QUICK, n_images: int = 6, **changes: object) -> TrainingPlan:
    """A plan of 12 steps of 4 images, unless the protocol is changed otherwise."""
    short = replace(protocol, **{"steps": 12, "batch_sizes": ((1, 4),), **changes})  # type: ignore[arg-type]
    return TrainingPlan(
        protocol=short,
        n_images=n_images,
        n_classes=3,
        mean=(0.5, 0.4, 0.3),
        deviation=(0.2, 0.2, 0.2),
        seed=7,
        device=torch.device("cpu"),
    )


def training_set(n: int = 6, side: int = 8) -> TrainingSet:
    images = torch.randint(256, (n, 3, side, side), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return TrainingSet(images, torch.arange(n) % 3, torch.ones(n))


def ignore(_step: int, _loss: Tensor) -> None:
    """Listen to nothing."""


def trained(seed: int, data: TrainingSet, plan: TrainingPlan | None = None) -> list[Tensor]:
    student = train(CONVNET, data, plan or plan_of(), seed, ignore)
    return [parameter.detach() for parameter in student.parameters()]


def are_equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(mine, its) for mine, its in zip(one, other, strict=True))


def steps_told(plan: TrainingPlan, n: int, network: NetworkConfig = CONVNET, side: int = 8) -> list[int]:
    told: list[int] = []
    train(network, training_set(n, side), plan, 0, lambda step, _loss: told.append(step))
    return told


def test_images_of_weight_zero_teach_nothing() -> None:
    few = training_set(6)
    ignored = TrainingSet(few.images, few.labels, torch.tensor([1.0, 1, 1, 1, 1, 0]))
    repainted = few.images.clone()
    repainted[5] = 255 - repainted[5]
    other = TrainingSet(repainted, few.labels, ignored.weights)
    for mine, its in zip(trained(0, ignored), trained(0, other), strict=True):
        torch.testing.assert_close(mine, its)


def test_a_weight_of_two_pulls_as_hard_as_the_same_image_twice() -> None:
    plain = plan_of(batch_sizes=((1, 4),), steps=1, augment=AugmentConfig(), optimizer=sgd(0.1))
    few = training_set(2)
    weighted = TrainingSet(few.images, few.labels, torch.tensor([1.5, 0.5]))
    rows = torch.tensor([0, 0, 0, 1])
    repeated = TrainingSet(few.images[rows], few.labels[rows], torch.ones(4))
    for mine, its in zip(trained(0, weighted, plain), trained(0, repeated, plain), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6)


def sgd(learning_rate: float) -> OptimizerConfig:
    return OptimizerConfig("sgd", learning_rate, 0.0, Drops((), 1.0), "step")


def test_weights_of_one_are_as_no_weights() -> None:
    """Written out once more without weights, without any of the blocks but network and batches."""
    plan, data = plan_of(steps=3, augment=AugmentConfig(), optimizer=sgd(0.1)), training_set()
    student = make_network(CONVNET, 3, 8, stream(7, "student", 0))
    for rows in draw_batches(6, plan, stream(7, "batches", 0)):
        loss = nn.functional.cross_entropy(student(normalise(data.images[rows], plan)), data.labels[rows])
        gradients = torch.autograd.grad(loss, list(student.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(student.parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient)
    for mine, its in zip(trained(0, data, plan), student.parameters(), strict=True):
        torch.testing.assert_close(mine, its.detach())


def test_quick_is_written_out_as_torch_would_have_it() -> None:
    """AdamW 0.002, decay 0.01, half a cosine to zero: with the optimiser and the scheduler that torch has for it."""
    plan, data = plan_of(augment=AugmentConfig()), training_set()
    student = make_network(CONVNET, 3, 8, stream(7, "student", 0))
    optimizer = torch.optim.AdamW(student.parameters(), 0.002, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    for rows in draw_batches(6, plan, stream(7, "batches", 0)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(student(normalise(data.images[rows], plan)), data.labels[rows]).backward()
        optimizer.step()
        schedule.step()
    for mine, its in zip(trained(0, data, plan), student.parameters(), strict=True):
        torch.testing.assert_close(mine, its.detach())


def test_one_seed_gives_one_start_whatever_the_images() -> None:
    still = plan_of(optimizer=sgd(0.0))
    assert are_equal(trained(1, training_set(6), still), trained(1, training_set(9), still))


def test_two_seeds_give_two_starts() -> None:
    still = plan_of(optimizer=sgd(0.0))
    assert not torch.equal(trained(1, training_set(), still)[0], trained(2, training_set(), still)[0])


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    trained(0, training_set(), plan_of(MINIMAX_HARD))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("protocol", [QUICK, SMALL_HARD, MINIMAX_HARD], ids=lambda protocol: protocol.name)
def test_the_same_seed_trains_the_same_student(protocol: Protocol) -> None:
    data, plan = training_set(), plan_of(protocol)
    assert are_equal(trained(3, data, plan), trained(3, data, plan))


@pytest.mark.parametrize("protocol", [QUICK, SMALL_HARD, MINIMAX_HARD], ids=lambda protocol: protocol.name)
def test_another_order_of_batches_trains_another_student(protocol: Protocol) -> None:
    data, plan = training_set(), plan_of(protocol)
    assert not are_equal(trained(3, data, plan), trained(4, data, plan))


@pytest.mark.parametrize("n", [3, 30])
def test_training_takes_exactly_the_steps_asked_for_whatever_the_number_of_images(n: int) -> None:
    assert steps_told(plan_of(), n) == list(range(1, 13))


@pytest.mark.parametrize("n", [3, 6, 30])
def test_epochs_become_steps_by_the_size_of_the_distilled_set(n: int) -> None:
    plan = plan_of(SMALL_HARD, n_images=6, steps=None, epochs=((1, 4),))
    assert plan.steps == 8  # four epochs of two batches, of four images and of two
    assert steps_told(plan, n) == list(range(1, 9))


@pytest.mark.parametrize("name", ["small-hard", "minimax-hard"])
@pytest.mark.parametrize(("network", "side"), [("convnet-3", 8), ("resnetap-10", 16), ("resnet-18", 16)])
def test_the_protocols_of_the_field_train_their_networks(name: str, network: str, side: int) -> None:
    plan = plan_of(PROTOCOLS[name], steps=None, epochs=((1, 2),))  # type: ignore[index]
    assert steps_told(plan, 6, NetworkConfig(network, width=8), side) == [1, 2, 3, 4]


def test_an_epoch_meets_every_image_once() -> None:
    batches = list(draw_batches(6, plan_of(steps=3), Generator().manual_seed(0)))
    assert sorted(torch.cat(batches).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_where_epochs_count_the_last_batch_of_each_is_smaller() -> None:
    plan = plan_of(SMALL_HARD, steps=None, epochs=((1, 2),))
    batches = list(draw_batches(6, plan, Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [4, 2, 4, 2]
    assert sorted(torch.cat(batches[:2]).tolist()) == list(range(6))


def test_where_steps_count_every_batch_is_full_even_with_fewer_images_than_it_holds() -> None:
    assert {len(batch) for batch in draw_batches(3, plan_of(n_images=3), Generator())} == {4}


def test_the_learning_rate_drops_with_the_epochs_of_the_distilled_set() -> None:
    plan = plan_of(SMALL_HARD, steps=None, epochs=((1, 4),))
    rates = [plan.rate("convnet-3", n_done) for n_done in range(plan.steps)]
    assert rates == pytest.approx([0.01] * 4 + [0.001] * 4)


def test_a_rate_that_moves_each_step_moves_each_step() -> None:
    rates = [plan_of().rate("convnet-3", n_done) for n_done in range(13)]
    assert len(set(rates)) == 13
    assert (rates[0], rates[-1]) == (0.002, 0.0)


def test_cutmix_shows_an_image_of_weight_zero_in_the_boxes_of_others() -> None:
    few = training_set(6)
    ignored = TrainingSet(few.images, few.labels, torch.tensor([1.0, 1, 1, 1, 1, 0]))
    relabelled = TrainingSet(few.images, torch.tensor([0, 1, 2, 0, 1, 0]), ignored.weights)
    mixed, plain = plan_of(MINIMAX_HARD), plan_of(augment=replace(MINIMAX_HARD.augment, cutmix=False))
    assert not are_equal(trained(0, ignored, mixed), trained(0, relabelled, mixed))
    assert are_equal(trained(0, ignored, plain), trained(0, relabelled, plain))


def test_weight_decay_spares_biases_and_norms_where_the_protocol_says_so() -> None:
    student = make_network(CONVNET, 3, 8, Generator())
    config = replace(QUICK.optimizer, decayed="matrices")
    decayed, spared = make_optimizer(student, config).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {2, 4}
    assert {parameter.ndim for parameter in spared["params"]} == {1}
    assert len(make_optimizer(student, QUICK.optimizer).param_groups) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_optimiser_of_a_protocol_is_that_of_torch(protocol: Protocol) -> None:
    config = protocol.optimizer
    optimizer = make_optimizer(make_network(CONVNET, 3, 8, Generator()), config)
    assert type(optimizer).__name__.lower() == config.kind
    assert {group["lr"] for group in optimizer.param_groups} == {config.learning_rate}
    assert optimizer.defaults.get("momentum", 0.0) == config.momentum


def test_a_trained_student_norms_by_what_it_saw_not_by_its_neighbours() -> None:
    student = train(NetworkConfig("resnet-18", width=8), training_set(side=16), plan_of(steps=2), 0, ignore)
    images = torch.randn(2, 3, 16, 16, generator=Generator().manual_seed(2))
    torch.testing.assert_close(student(images)[:1], student(images[:1]))


def test_normalised_images_have_mean_zero_where_they_have_the_mean_colour() -> None:
    grey = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)  # 0.2 of 255
    plan = replace(plan_of(), mean=(0.2, 0.2, 0.2))
    torch.testing.assert_close(normalise(grey, plan), torch.zeros(1, 3, 8, 8))


def test_a_channel_that_never_changes_stays_finite() -> None:
    plan = replace(plan_of(), deviation=(0.0, 0.0, 0.0))
    assert normalise(training_set().images, plan).isfinite().all()


def test_students_are_tested_in_the_colours_in_which_they_were_trained() -> None:
    plan, images = plan_of(), training_set().images
    expected = Normalise(plan.mean, plan.deviation)(images / 255, Generator())
    assert torch.equal(normalise(images, plan), expected)


def soft(logits: Tensor) -> TrainingSet:
    few = training_set(len(logits))
    return TrainingSet(few.images, few.labels, few.weights, logits)


def test_soft_labels_are_learnt_in_place_of_the_classes() -> None:
    plan, logits = plan_of(temperature=2.0), torch.randn(6, 3, generator=Generator().manual_seed(5))
    data = soft(logits)
    relabelled = TrainingSet(data.images, data.labels.flip(0), data.weights, logits)
    assert are_equal(trained(0, data, plan), trained(0, relabelled, plan))
    assert not are_equal(trained(0, data, plan), trained(0, soft(logits.flip(1)), plan))


def test_sharp_soft_labels_teach_what_the_classes_teach() -> None:
    few = training_set(6)
    sharp = soft(100 * nn.functional.one_hot(few.labels, 3).float())
    for mine, its in zip(trained(0, sharp, plan_of(temperature=1.0)), trained(0, few), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-4)


def test_the_temperature_matters() -> None:
    logits = torch.randn(6, 3, generator=Generator().manual_seed(5))
    warm, cold = plan_of(temperature=20.0), plan_of(temperature=1.0)
    assert not are_equal(trained(0, soft(logits), warm), trained(0, soft(logits), cold))
