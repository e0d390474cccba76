"""The values that flow through a distillation. Frozen; shapes are in the annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ddoq.stored_labels import StoredLabels


@dataclass(frozen=True)
class Sample:
    """One labelled real image, RGB, cropped and resized to a square.

    `size` is (width, height) as it was stored, `n_bytes` what its file or field held.
    """

    key: str
    image: UInt8[Tensor, "3 h h"]
    label: int
    size: tuple[int, int]
    n_bytes: int = 0


@dataclass(frozen=True)
class Codebook:
    """A weighted point set that stands for the latents of one class.

    `weights` are the Voronoi masses of exactly these `centroids`: all > 0, sum 1. `counts` are the samples in each
    cell. `medoids` are the rows of the latents nearest to each centroid. `cells` are the codewords of the rows.
    `distortion` is the mean squared distance. `is_fixed_point` says that no single row lowers it by changing its cell;
    it is False where nobody looked. Where rows were chosen instead, the centroids are the medoids themselves.
    `history` is the mean squared distance before the first pass over all rows and after each, where it was kept.
    """

    centroids: Float[Tensor, "k d"]
    weights: Float[Tensor, " k"]
    counts: Int[Tensor, " k"]
    medoids: Int[Tensor, " k"]
    cells: Int[Tensor, " n"]
    distortion: float
    iterations: int
    is_fixed_point: bool
    history: tuple[float, ...] = ()


@runtime_checkable
class LiveTeacher(Protocol):
    """A trained network that can be asked at any time."""

    def look(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b c"]:
        """Answer logits of images in [0, 1] of any side, both on its device."""
        ...


SoftLabel = Float[Tensor, "m c"] | StoredLabels | LiveTeacher  # fixed, stored, live


@dataclass(frozen=True)
class TrainingSet:
    """Labelled, weighted images that a student can be trained on. `weights` have mean one in each class.

    Where there are `soft_labels`, students learn from them in place of `labels`: a teacher's logits of each image, its
    logits of each view in each epoch, or the teacher itself.
    """

    images: UInt8[Tensor, "m 3 h w"]
    labels: Int[Tensor, " m"]
    weights: Float[Tensor, " m"]
    soft_labels: SoftLabel | None = None

    def to(self, device: torch.device) -> "TrainingSet":
        """Copy to a device; soft labels are brought there as they are needed."""
        return TrainingSet(self.images.to(device), self.labels.to(device), self.weights.to(device), self.soft_labels)


@dataclass(frozen=True)
class Score:
    """Test accuracy (0 to 1) of one contender, a value a seed; `deviation` is the sample deviation (0 for one)."""

    values: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class Tuning:
    """How learning rates were chosen: by `n_images` validation images, which were held out of training.

    `rates` are those chosen, by network, then contender; `accuracy` (0 to 1, on validation) what each of the protocol's
    rate times `factors` reached. `budget` says in words what was tried.
    """

    budget: str
    factors: tuple[float, ...]
    n_images: int
    rates: Mapping[str, Mapping[str, float]]
    accuracy: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True)
class Scores:
    """What students scored: `by_network` by network, then contender, the network that counts first; {} without any.

    `by_class` has for each contender the mean accuracy of that network in each class, or none where no test image was
    of the class; `calibration` its expected calibration error (0 to 1), mean over seeds. `figures` and `remarks` are
    for the report, as are the validation images that do not decode, `n_bad`.
    """

    by_network: Mapping[str, Mapping[str, Score]]
    by_class: Mapping[str, tuple[float | None, ...]]
    calibration: Mapping[str, float] = field(default_factory=dict)
    tuning: Tuning | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    n_bad: int = 0

    @property
    def accuracy(self) -> Mapping[str, Score]:
        """By contender, of the network that counts."""
        return next(iter(self.by_network.values()), {})


Place = tuple[float, float]


@dataclass(frozen=True)
class MappedClass:
    """Some latents of one class and its heaviest codewords on the two axes; `weights` are the masses of the latter."""

    latents: tuple[Place, ...]
    codewords: tuple[Place, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class LatentMap:
    """Latents seen along the two axes on which those drawn vary most, which hold these `shares` of their variance."""

    shares: tuple[float, float]
    classes: Mapping[str, MappedClass]


@dataclass(frozen=True)
class Citation:
    """A source of what was done: `used_for` says what. A model has no authors here and no year, but a revision."""

    key: str
    used_for: str
    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    arxiv: str = ""
    url: str = ""
    note: str = ""


@dataclass(frozen=True)
class Report:
    """How good a distilled set is. Figures only; times are kept outside, since they differ from run to run.

    `accuracy` is by contender, of the first network; `distortion` (mean squared, of the latents) and `weights` (Voronoi
    masses, falling) by class; `remarks` are sentences on what the dataset made necessary. `by_network` has the
    accuracies of every network, where there are several; `by_class` those of the first, by contender and class.
    `calibration` is the expected calibration error (0 to 1) of its students, by contender. All four are empty where
    nothing was evaluated. `tuning` says how learning rates were chosen, if they were. `latent_map` shows latents and
    codewords, `history` has the distortion by pass of some classes.
    """

    accuracy: Mapping[str, Score]
    distortion: Mapping[str, float]
    weights: Mapping[str, tuple[float, ...]]
    figures: Mapping[str, float]
    remarks: tuple[str, ...]
    by_network: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    tuning: Tuning | None = None
    latent_map: LatentMap | None = None
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    citations: tuple[Citation, ...] = ()
