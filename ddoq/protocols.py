"""How students are trained and tested, by name, every number given. Figures of different protocols never compare.

`small-hard`, `minimax-hard`, `d4m-fkd`, `rded` and `rd3` are those under which the field publishes; `quick` is ours,
for ranking contenders within minutes on a CPU. A protocol of one's own is `dataclasses.replace` of one of them. What
could not be checked in the source is said in `unverified`. Torch-free.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import WrapSerializer

from ddoq.network_config import NetworkConfig

ProtocolName = Literal["quick", "small-hard", "minimax-hard", "d4m-fkd", "rded", "rd3"]
T = TypeVar("T")
ByIpc = tuple[tuple[int, int], ...]  # images per class up to the first number: the second; beyond the last: the last
# A dict to pydantic, which does not know how to write read-only mappings.
ByName = Annotated[Mapping[str, T], WrapSerializer(lambda values, write: write(dict(values)))]


@dataclass(frozen=True)
class AugmentConfig:
    """What happens to training images, in the order of the fields; zero, empty or none leaves a step out.

    Everything down to `lighting` is done to images in [0, 1], the rest after normalisation. `patches` is the factor of
    the mosaic whose patches are shuffled; `shift` and `cutout` are shares of the side; `crop_area` is the share of the
    image that a crop keeps; `flip` is a chance; `jitter` and `lighting` are strengths; `dsa` is a strategy of
    differentiable augmentation, of which one operation is drawn a batch.
    """

    patches: int = 1
    shift: float = 0.0
    crop_area: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    jitter: float = 0.0
    lighting: float = 0.0
    cutout: float = 0.0
    dsa: str = ""
    cutmix: bool = False


@dataclass(frozen=True)
class Cosine:
    """From 1 down a cosine that reaches 0 at `stretch` times the length: 2 ends half-way, at 1/2."""

    stretch: float = 1.0

    def factor(self, progress: float) -> float:
        """Of the learning rate, once a share `progress` of the training (0 to 1) is done."""
        return (1 + math.cos(math.pi * progress / self.stretch)) / 2


@dataclass(frozen=True)
class Drops:
    """From 1, times `by` at each of the shares `at` of the training."""

    at: tuple[float, ...]
    by: float

    def factor(self, progress: float) -> float:
        """Of the learning rate, once a share `progress` of the training (0 to 1) is done."""
        return self.by ** sum(share <= progress for share in self.at)


Schedule = Cosine | Drops


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move. `learning_rates` and `schedules` are those of single networks, by name.

    `decayed`: what the weight decay is for, all parameters or only those of two dimensions and more (neither biases
    nor norms). The schedule moves on with each step or only with each epoch.
    """

    kind: Literal["adamw", "adam", "sgd"]
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    moves_each: Literal["step", "epoch"]
    momentum: float = 0.0
    decayed: Literal["all", "matrices"] = "all"
    learning_rates: ByName[float] = field(default_factory=dict)
    schedules: ByName[Schedule] = field(default_factory=dict)

    def rate(self, network: str, progress: float) -> float:
        """The learning rate of a network once a share `progress` of the training (0 to 1) is done."""
        schedule = self.schedules.get(network, self.schedule)
        return self.learning_rates.get(network, self.learning_rate) * schedule.factor(progress)


@dataclass(frozen=True)
class Protocol:
    """How students are trained and tested. The last step counts, never the best on test.

    Training lasts `epochs` or, where given, `steps`. `networks` are those of the source, the first being its main one;
    in a protocol of one's own, those that are trained.
    `labels` are classes, a teacher's logits of each image as it is, kept for each view and epoch, or made on the way.
    `temperature` divides the logits of both sides. From `doubles_from` classes on, batches are twice as large. Test
    images are resized to `test_margin` times the side, of which the middle is shown.
    """

    name: str
    source: str
    networks: tuple[NetworkConfig, ...]
    optimizer: OptimizerConfig
    epochs: ByIpc
    batch_sizes: ByIpc
    augment: AugmentConfig
    labels: Literal["hard", "fixed", "stored", "live"]
    loss: Literal["cross-entropy", "kl"]
    steps: int | None = None
    temperature: float | None = None
    teacher: NetworkConfig | None = None
    doubles_from: int | None = None
    test_margin: float = 1.0
    unverified: tuple[str, ...] = ()

    def batch_size(self, n_images: int, n_classes: int) -> int:
        """Images a batch: where epochs count, never more than there are; where steps do, some come more than once."""
        size = _up_to(n_images / n_classes, self.batch_sizes)
        if self.doubles_from is not None and n_classes >= self.doubles_from:
            size *= 2
        return min(size, n_images) if self.steps is None else size

    def n_epochs(self, n_images: int, n_classes: int) -> int:
        """Times that every image is seen, unless `steps` are given."""
        return _up_to(n_images / n_classes, self.epochs)

    def n_steps(self, n_images: int, n_classes: int) -> int:
        """Optimiser steps; the last batch of an epoch may be smaller, but is not left out."""
        if self.steps is not None:
            return self.steps
        return self.n_epochs(n_images, n_classes) * self._n_batches(n_images, n_classes)

    def progress(self, n_done: int, n_images: int, n_classes: int) -> float:
        """The share of the training that is over for the schedule, after `n_done` steps."""
        moves_after = self._n_batches(n_images, n_classes) if self.optimizer.moves_each == "epoch" else 1
        return n_done // moves_after * moves_after / self.n_steps(n_images, n_classes)

    def _n_batches(self, n_images: int, n_classes: int) -> int:
        return -(-n_images // self.batch_size(n_images, n_classes))


def _up_to(images_per_class: float, table: ByIpc) -> int:
    return next((value for bound, value in table if images_per_class <= bound), table[-1][1])


FKD_VIEW = AugmentConfig(crop_area=(0.08, 1.0), flip=0.5, cutmix=True)
RDED_VIEW = AugmentConfig(patches=2, crop_area=(0.5, 1.0), flip=0.5, cutmix=True)
RESNET_18 = NetworkConfig("resnet-18")

QUICK = Protocol(
    name="quick",
    source="this project",
    networks=(NetworkConfig("convnet-3"),),
    # AdamW, not the field's SGD: one learning rate serves 8 and 32 pixels, and 300 steps are enough.
    optimizer=OptimizerConfig("adamw", 0.002, 0.01, Cosine(), "step"),
    epochs=((1, 300),),
    steps=300,
    batch_sizes=((1, 32),),
    augment=AugmentConfig(shift=1 / 8),  # four pixels at 32, as CIFAR is augmented; one at 8
    labels="hard",
    loss="cross-entropy",
)

SMALL_HARD = Protocol(
    name="small-hard",
    source="Zhao & Bilen, arXiv:2102.08259; VICO-UoE/DatasetCondensation:utils.py, evaluate_synset",
    networks=tuple(NetworkConfig(f"convnet-{depth}") for depth in (3, 4, 5)),  # for 32, 64 and 128 pixels
    optimizer=OptimizerConfig("sgd", 0.01, 5e-4, Drops((0.5,), 0.1), "epoch", momentum=0.9),
    epochs=((1, 1000),),
    batch_sizes=((1, 256),),
    augment=AugmentConfig(dsa="color_crop_cutout_flip_scale_rotate"),
    labels="hard",
    loss="cross-entropy",
    unverified=(
        "the source trains 1,001 epochs, drops the rate after the 502nd and forgets the momentum there: not imitated",
        "a method's own learned learning rate is not known here; 0.01 for all",
    ),
)

MINIMAX_HARD = Protocol(
    name="minimax-hard",
    source="Gu et al., arXiv:2311.15529, on snu-mllab/Efficient-Dataset-Condensation:argument.py, train.py, data.py",
    networks=(
        NetworkConfig("resnetap-10"),
        NetworkConfig("convnet-6"),
        NetworkConfig("resnet-18", norm="instance"),
    ),
    optimizer=OptimizerConfig("sgd", 0.01, 5e-4, Drops((2 / 3, 5 / 6), 0.2), "epoch", momentum=0.9),
    epochs=((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500), (501, 300)),
    batch_sizes=((1, 64),),
    augment=AugmentConfig(crop_area=(0.5, 1.0), flip=0.5, jitter=0.4, lighting=0.1, cutmix=True),
    labels="hard",
    loss="cross-entropy",
    unverified=(
        "read in the code that Minimax names as its base, not in its own, which has no licence",
        "3,000 epochs at one image a class, 500 and 300 beyond 200, and the lighting are of that base alone",
        "from 100 classes on the base has learning rate 0.1, decay 1e-4, batch 128 and two thirds of the epochs",
        "DDOQ's and IGD's ConvNet-6 may have another width than 128",
    ),
)

D4M_FKD = Protocol(
    name="d4m-fkd",
    source="Su et al., CVPR 2024; suduo94/D4M:validate/train_FKD.py, train_FKD.sh, matching/utils_fkd.py",
    networks=(RESNET_18, NetworkConfig("resnet-50")),
    optimizer=OptimizerConfig("adamw", 0.001, 0.01, Cosine(), "epoch", decayed="matrices"),
    epochs=((1, 300),),
    batch_sizes=((1, 1024),),
    augment=FKD_VIEW,
    labels="stored",
    loss="kl",
    temperature=20.0,
    teacher=RESNET_18,
    test_margin=256 / 224,
    unverified=(
        "decay of matrices only: the function is imported under the name it has in RDED, its text is not there",
    ),
)

RDED = Protocol(
    name="rded",
    source="Sun et al., arXiv:2312.03526; LINs-lab/RDED:argument.py, validation/main.py, validation/utils.py",
    networks=(RESNET_18, NetworkConfig("resnet-50"), NetworkConfig("convnet-3", norm="batch")),
    optimizer=OptimizerConfig(
        "adamw",
        0.001,
        0.01,
        Cosine(2),
        "epoch",
        decayed="matrices",
        learning_rates=MappingProxyType(
            {"mobilenet_v2": 0.0025, "efficientnet": 0.002, "vit": 0.0001, "swin": 0.0001, "swinv2": 0.0001}
        ),
    ),
    epochs=((1, 300),),
    batch_sizes=((1, 10), (10, 50), (50, 100)),
    doubles_from=100,
    augment=RDED_VIEW,
    labels="live",
    loss="kl",
    temperature=20.0,
    teacher=RESNET_18,
    test_margin=8 / 7,
    unverified=(
        "batches are given for 1, 10 and 50 images a class; Tiny-ImageNet has 100 always, CIFAR-100 on ConvNet-3 25",
        "patches and crops from 1/2 on suit mosaics of 2 x 2; for other images the source would set the factor to 1",
        "the source shows the student each batch unmixed too, which moves its BatchNorm: not imitated",
        "the learning rate of `swin` (first version) is taken over from the second",
    ),
)

RD3 = Protocol(
    name="rd3",
    source="Zhong et al., arXiv:2509.19743, by notes and public reviews",
    networks=(RESNET_18, NetworkConfig("resnet-50")),
    optimizer=OptimizerConfig(
        "adam", 0.001, 0.0, Cosine(2), "epoch", schedules=MappingProxyType({"resnet-18": Cosine(1)})
    ),
    epochs=((1, 400),),
    batch_sizes=((1, 50),),
    augment=RDED_VIEW,
    labels="live",
    loss="kl",
    temperature=20.0,
    teacher=RESNET_18,
    test_margin=8 / 7,
    unverified=(
        "neither paper nor code was read: weight decay, temperature, crop, patches and test margin are RDED's or none",
        "stretch 1 is said of ResNet-18 in one place and of all ResNets in another",
        "labels may be kept for each epoch rather than made on the way, and batches of 50 may be for ResNet-18 only",
    ),
)

PROTOCOLS: Mapping[ProtocolName, Protocol] = MappingProxyType(
    {
        "quick": QUICK,
        "small-hard": SMALL_HARD,
        "minimax-hard": MINIMAX_HARD,
        "d4m-fkd": D4M_FKD,
        "rded": RDED,
        "rd3": RD3,
    }
)
