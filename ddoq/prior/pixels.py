"""The prior that needs no model, and what a pixel is to those that do."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from ddoq.prior_config import PIXELS_BATCH


@dataclass(frozen=True)
class Pixels:
    """The image is its own latent, in [-1, 1]; there is no posterior to sample."""

    resolution: int
    batch_size: int = PIXELS_BATCH

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return 3, self.resolution, self.resolution

    def encode(
        self,
        images: UInt8[Tensor, "b 3 h h"],
        rngs: Sequence[Generator] | None = None,  # noqa: ARG002  the contract's
    ) -> Float[Tensor, "b d"]:
        return to_unit(images).flatten(1)

    def decode(self, z: Float[Tensor, "b d"]) -> UInt8[Tensor, "b 3 h h"]:
        return to_bytes(z.unflatten(1, self.latent_shape))


def to_unit(images: UInt8[Tensor, "b 3 h h"]) -> Float[Tensor, "b 3 h h"]:
    """Map bytes to [-1, 1], as every diffusers autoencoder wants its images."""
    return images.float() / 127.5 - 1


def to_bytes(images: Float[Tensor, "b 3 h h"]) -> UInt8[Tensor, "b 3 h h"]:
    """Map [-1, 1] to the nearest bytes, clipping what is outside."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
