"""Augmentations that change colours. All but `Normalise` leave their results unclipped, as their sources do."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16
from torch import Generator, Tensor

from ddoq.augment.contract import Augmentation

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
# Of the covariance of ImageNet's pixels: Krizhevsky et al. (2012), figures as everybody passes them on.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@dataclass(frozen=True)
class Normalise(Augmentation):
    """Bring channels of this `mean` and `deviation` (0 to 1) to mean zero and deviation one. Nothing is drawn."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    n_numbers = 0

    def draw(self, n: int, _side: int, _rng: Generator) -> Float16[Tensor, "n 0"]:
        return torch.empty(n, 0, dtype=torch.float16)

    def apply(self, images: Float[Tensor, "n 3 h h"], _views: Float16[Tensor, "n 0"]) -> Float[Tensor, "n 3 h h"]:
        mean, deviation = self._numbers(images.device)
        return (images - mean) / deviation

    def undo(self, images: Float[Tensor, "n 3 h h"]) -> Float[Tensor, "n 3 h h"]:
        """Bring normalised images back to where they came from."""
        mean, deviation = self._numbers(images.device)
        return images * deviation + mean

    def _numbers(self, device: torch.device) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
        mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (self.mean, self.deviation))
        return mean, deviation.clamp_min(1 / 255)  # a channel that never changes has no scale


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Brightness, contrast and saturation times 1 - `strength` to 1 + `strength` each.

    Images are in [0, 1]: the point from which brightness counts is black, of contrast the image's mean grey, of
    saturation each pixel's own grey. Unclipped, the three commute, so that their order, which others draw, is none.

    Source: snu-mllab/Efficient-Dataset-Condensation:misc/utils.py; torchvision's clips after each.
    """

    strength: float = 0.4
    n_numbers = 3

    def draw(self, n: int, _side: int, rng: Generator) -> Float16[Tensor, "n 3"]:
        return (1 + self.strength * (2 * torch.rand(n, 3, generator=rng) - 1)).half()

    def apply(self, images: Float[Tensor, "n 3 h h"], views: Float16[Tensor, "n 3"]) -> Float[Tensor, "n 3 h h"]:
        brightness, contrast, saturation = views.to(images.device, images.dtype)[:, :, None, None, None].unbind(1)
        grey = (images * torch.tensor(GREY, device=images.device).view(3, 1, 1)).sum(1, keepdim=True)
        images = torch.lerp(grey, images, saturation)
        return brightness * torch.lerp(grey.mean((2, 3), keepdim=True), images, contrast)


@dataclass(frozen=True)
class Lighting(Augmentation):
    """A normal step along each principal axis of ImageNet's colours, `deviation` times its eigenvalue long.

    Source: Krizhevsky et al. (2012), as in snu-mllab/Efficient-Dataset-Condensation:data.py. Images are in [0, 1].
    """

    deviation: float = 0.1
    n_numbers = 3

    def draw(self, n: int, _side: int, rng: Generator) -> Float16[Tensor, "n 3"]:
        return (self.deviation * torch.randn(n, 3, generator=rng)).half()

    def apply(self, images: Float[Tensor, "n 3 h h"], views: Float16[Tensor, "n 3"]) -> Float[Tensor, "n 3 h h"]:
        axes = torch.tensor(EIGENVECTORS, device=images.device) * torch.tensor(EIGENVALUES, device=images.device)
        return images + (views.to(images.device, images.dtype) @ axes.T.to(images.dtype))[:, :, None, None]
