"""What is said of many images at once: how large they were, and the mean and deviation of their channels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddoq.types import Sample

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Figures:
    """What a `Summary` found, in plain whole numbers; sizes are None without images."""

    n_images: int
    n_resized: int
    n_bytes: int
    smallest: Size | None
    largest: Size | None
    levels: tuple[tuple[int, ...], ...]


@dataclass
class Summary:
    """Running figures of the images that went by; `levels` counts the 256 values of each channel, so sums are exact."""

    resolution: int
    n_images: int = 0
    n_resized: int = 0
    n_bytes: int = 0
    smallest: Size | None = None
    largest: Size | None = None
    levels: Int[Tensor, "3 256"] = field(default_factory=lambda: torch.zeros(3, 256, dtype=torch.int64))

    def add(self, images: Tensor, batch: Sequence[Sample]) -> None:
        """Take in a batch, as it is stored and as the encoder sees it."""
        self.levels += torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)])
        self.n_images += len(batch)
        self.n_bytes += sum(sample.n_bytes for sample in batch)
        for size in (sample.size for sample in batch):
            self.n_resized += size != (self.resolution, self.resolution)
            self._meet(size)

    def take(self, figures: Figures) -> None:
        """Take in what another found of the images that follow."""
        self.levels += torch.tensor(figures.levels)
        self.n_images += figures.n_images
        self.n_bytes += figures.n_bytes
        self.n_resized += figures.n_resized
        for size in (figures.smallest, figures.largest):
            if size is not None:
                self._meet(size)

    def figures(self) -> Figures:
        """Answer all that was found so far."""
        levels = tuple(map(tuple, self.levels.tolist()))
        return Figures(self.n_images, self.n_resized, self.n_bytes, self.smallest, self.largest, levels)

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of each channel, 0 to 1."""
        red, green, blue = self._moment(1).tolist()
        return red, green, blue

    @property
    def deviation(self) -> tuple[float, float, float]:
        """Of each channel over all pixels; never zero, since it is divided by."""
        variance = self._moment(2) - self._moment(1).square()
        red, green, blue = variance.clamp(min=1e-6).sqrt().tolist()
        return red, green, blue

    def _meet(self, size: Size) -> None:
        self.smallest = min(self.smallest or size, size, key=_area)
        self.largest = max(self.largest or size, size, key=_area)

    def _moment(self, power: int) -> Float[Tensor, " 3"]:
        values = torch.linspace(0, 1, 256, dtype=torch.float64)
        return self.levels.double() @ values**power / self.levels.sum(dim=1)


def _area(size: Size) -> int:
    return size[0] * size[1]
