"""The recipe in words says what the protocol's numbers are."""

from dataclasses import replace

import pytest
import torch

from ddoq.archive import Recipe
from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.protocols import MINIMAX_HARD, PROTOCOLS, QUICK, RD3, SMALL_HARD, AugmentConfig, Protocol
from ddoq.recipes import augmentations, recipe


def recipe_of(protocol: Protocol) -> Recipe:
    plan = TrainingPlan(protocol, 100, 10, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), 0, torch.device("cpu"))
    return recipe(plan, 32)


def test_quick_in_words() -> None:
    assert recipe_of(QUICK) == Recipe(
        protocol=QUICK,
        n_images=100,
        n_classes=10,
        resolution=32,
        seed=0,
        mean=(0.5, 0.4, 0.3),
        deviation=(0.2, 0.2, 0.1),
        networks=("convnet-3 (128 channels, instance norm)",),
        loss="cross-entropy times weight, mean over the batch",
        optimizer="AdamW, learning rate 0.002, weight decay 0.01",
        schedule="learning rate falling along a cosine to 0 of its height, changed after each step",
        augmentation="random shifts by up to 1/8 of the side, the edge repeated",
        steps=300,
        batch_size=32,
    )


def test_small_hard_in_words() -> None:
    told = recipe_of(SMALL_HARD)
    assert told.optimizer == "SGD, learning rate 0.01, momentum 0.9, weight decay 0.0005"
    assert told.schedule == "learning rate times 0.1 after 50% of the training, changed after each epoch"
    assert told.augmentation == (
        "for each batch one of color, crop, cutout, flip, scale, rotate (differentiable siamese augmentation)"
    )
    assert (told.steps, told.batch_size) == (1000, 100)


def test_minimax_hard_in_words() -> None:
    told = recipe_of(MINIMAX_HARD)
    assert told.networks[2] == "resnet-18 (64 channels, instance norm)"
    assert told.loss == "cross-entropy times weight, labels and weights mixed as the images are, mean over the batch"
    assert told.schedule == "learning rate times 0.2 after 67% and 83% of the training, changed after each epoch"
    assert told.augmentation == (
        "random crops of 50% to 100% of the area, enlarged to the whole; left for right with chance 0.5; brightness, "
        "contrast and saturation times 0.6 to 1.4; colours moved along ImageNet's principal axes, deviation 0.1; "
        "CutMix, Beta(1, 1)"
    )


def test_the_width_chosen_is_the_width_told() -> None:
    narrow = replace(QUICK, networks=(NetworkConfig("resnet-18", width=16, norm="none"),))
    assert recipe_of(narrow).networks == ("resnet-18 (16 channels, no norm)",)


def test_what_differs_between_networks_is_told_of_each() -> None:
    assert recipe_of(RD3).schedule == (
        "learning rate falling along a cosine to 0 of its height (resnet-18), falling along a cosine to 0.5 of its "
        "height (resnet-50), changed after each epoch"
    )


def test_no_augmentation_is_told_as_none() -> None:
    assert recipe_of(replace(QUICK, augment=AugmentConfig())).augmentation == "none"


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_augmentation_of_a_protocol_is_told(protocol: Protocol) -> None:
    changed = [name for name, value in vars(protocol.augment).items() if value != getattr(AugmentConfig(), name)]
    assert len(augmentations(protocol.augment)) == len(changed)


def test_soft_labels_in_words() -> None:
    soft = replace(QUICK, labels="fixed", loss="kl", temperature=20.0, teacher=NetworkConfig("resnet-18"))
    assert recipe_of(soft).loss == (
        "Kullback-Leibler divergence from soft labels (logits of both sides over 20) times weight, mean over the "
        "batch; without soft labels cross-entropy times weight, mean over the batch"
    )
