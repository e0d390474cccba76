"""A student of a teacher's own soft labels on all data is as good as the teacher: on Fashion-MNIST, halved in size."""

import gzip
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.protocols import QUICK, AugmentConfig
from ddoq.students import normalise, train
from ddoq.threads import one_core
from ddoq.types import TrainingSet

N_TRAIN, N_TEST = 60_000, 10_000
NETWORK = NetworkConfig("convnet-3", width=32)
HARD = replace(
    QUICK,
    networks=(NETWORK,),
    steps=600,
    batch_sizes=((1, 64),),
    augment=AugmentConfig(),  # labels are of images as they are
    optimizer=replace(QUICK.optimizer, learning_rate=0.01),
)
SOFT = replace(HARD, steps=4 * 600, labels="fixed", loss="kl", temperature=4.0)  # the student has time to copy it


def read(file: Path, header: int) -> Tensor:
    """Read an IDX file of bytes."""
    return torch.from_numpy(np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header).copy())


def images_of(folder: Path, split: str) -> tuple[UInt8[Tensor, "n 3 14 14"], Int[Tensor, " n"]]:
    pixels = read(folder / f"{split}-images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28).float()
    small = avg_pool2d(pixels, 2).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    return small, read(folder / f"{split}-labels-idx1-ubyte.gz", 8).long()


@torch.inference_mode()
def look(network: nn.Module, images: Tensor, plan: TrainingPlan) -> Float[Tensor, "n c"]:
    return torch.cat([network(normalise(part, plan)) for part in images.split(500)])


@pytest.mark.timeout(900)  # half a minute of one core; more beside other work
def test_a_student_of_the_teachers_labels_on_all_data_reaches_the_teacher(shared_data: Path) -> None:
    images, labels = images_of(shared_data / "fashion-mnist", "train")
    test_images, test_labels = images_of(shared_data / "fashion-mnist", "t10k")
    assert (len(images), len(test_images)) == (N_TRAIN, N_TEST)
    plan = TrainingPlan(HARD, N_TRAIN, 10, (0.286,) * 3, (0.33,) * 3, 0, torch.device("cpu"))
    ones, nothing = torch.ones(N_TRAIN), torch.zeros_like(labels)
    with one_core():
        teacher = train(NETWORK, TrainingSet(images, labels, ones), plan, 0, lambda _step, _loss: None)
        soft = TrainingSet(images, nothing, ones, look(teacher, images, plan).half().float())  # it sees no class
        student = train(NETWORK, soft, replace(plan, protocol=SOFT), 1, lambda _step, _loss: None)
        told, learnt = (look(network, test_images, plan).argmax(1) for network in (teacher, student))
    taught, reached = (float((found == test_labels).double().mean()) for found in (told, learnt))
    noise = math.sqrt(2 * taught * (1 - taught) / N_TEST)  # binomial, of the difference of two accuracies
    assert taught > 0.83
    assert reached >= taught - 2 * noise  # by 1.0 percent at most; three seeds of the plan missed by 0.1 to 0.4
    assert float((learnt == told).double().mean()) > 0.95  # also where the teacher is wrong
