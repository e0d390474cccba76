"""The latent space of a diffusers autoencoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.utils.torch_utils import randn_tensor
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from ddoq.errors import ConfigError, PriorNotFoundError, ResolutionError
from ddoq.model_source import ModelSource
from ddoq.prior.contract import LatentPrior
from ddoq.prior.pixels import Pixels, to_bytes, to_unit
from ddoq.prior.placement import Placed
from ddoq.prior_config import DitPrior, FitPrior, StableDiffusionPrior, VaePrior

AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


@dataclass(frozen=True)
class Vae:
    """The latent space of an autoencoder, shifted and scaled as its diffusion model wants it."""

    placed: Placed  # of an AutoencoderKL or AutoencoderTiny
    latent_shape: tuple[int, int, int]
    resolution: int
    batch_size: int

    def encode(self, images: UInt8[Tensor, "b 3 h h"], rngs: Sequence[Generator] | None = None) -> Float[Tensor, "b d"]:
        with self.placed.at_work() as model, torch.inference_mode():
            encoded = model.encode(to_unit(images.to(self.placed.device)).to(model.dtype))
            z: Tensor = (_latents(encoded, rngs) - self._shift) * self._scale
        return z.flatten(1).cpu()

    def decode(self, z: Float[Tensor, "b d"]) -> UInt8[Tensor, "b 3 h h"]:
        with self.placed.at_work() as model, torch.inference_mode():
            latents = z.unflatten(1, self.latent_shape).to(self.placed.device) / self._scale + self._shift
            return to_bytes(model.decode(latents.to(model.dtype)).sample.float()).cpu()

    @property
    def _scale(self) -> float:
        return float(self.placed.model.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(getattr(self.placed.model.config, "shift_factor", None) or 0.0)


def load_autoencoder(source: ModelSource, subfolder: str | None, dtype: torch.dtype) -> Any:
    """Load the autoencoder of a folder, whichever of the known kinds it is.

    Raises:
        PriorNotFoundError: there is none, or of another kind, or not in safetensors.
    """
    name = source.read_json(f"{subfolder}/config.json" if subfolder else "config.json").get("_class_name")
    if name not in AUTOENCODERS:
        known = " or ".join(AUTOENCODERS)
        raise PriorNotFoundError(f"{source.name!r} holds a {name}; the autoencoder must be an {known}")
    return source.load_model(AUTOENCODERS[name], subfolder, dtype)


def make_space(prior: VaePrior | StableDiffusionPrior | DitPrior | FitPrior, autoencoder: Placed | None) -> LatentPrior:
    """Make the latent space of an autoencoder; without one, that of pixels.

    Raises:
        ResolutionError: the autoencoder does not give the resolution back.
        ConfigError: samples of the posterior are wanted, and there is none.
    """
    if prior.latents == "sample" and not (autoencoder and isinstance(autoencoder.model, AutoencoderKL)):
        kind = type(autoencoder.model).__name__ if autoencoder else "pixel space"
        raise ConfigError(f"{kind} has no posterior to sample from; set prior.latents to 'mean'")
    if autoencoder is None:
        return Pixels(prior.resolution, prior.batch_size)
    vae = Vae(autoencoder, _latent_shape(autoencoder, prior.resolution), prior.resolution, prior.batch_size)
    if not isinstance(prior, VaePrior) and prior.compile:
        autoencoder.model.encoder.compile()
        autoencoder.model.decoder.compile()
    return vae


def _latent_shape(placed: Placed, resolution: int) -> tuple[int, int, int]:
    """Shape of one latent, found by encoding a blank image; the way back must give the resolution again."""
    blank = torch.zeros(1, 3, resolution, resolution, dtype=torch.uint8)
    d = Vae(placed, (0, 0, 0), resolution, 1).encode(blank).shape[1]
    channels = int(placed.model.config.latent_channels)
    side = round((d / channels) ** 0.5)
    shape = (channels, side, side)
    decoded = Vae(placed, shape, resolution, 1).decode(torch.zeros(1, prod(shape))).shape[-1]
    if decoded != resolution:
        raise ResolutionError(
            f"the autoencoder turns {resolution} pixels into {decoded}; set prior.resolution to {decoded}"
        )
    return shape


def _latents(encoded: Any, rngs: Sequence[Generator] | None) -> Float[Tensor, "b c h w"]:
    """Take the mean of the posterior, or a sample of it, drawn in single precision whatever the model's."""
    posterior = getattr(encoded, "latent_dist", None)
    mean: Tensor = (encoded.latents if posterior is None else posterior.mean).float()
    if posterior is None or rngs is None:
        return mean
    noise: Tensor = posterior.std.float() * randn_tensor(mean.shape, list(rngs), mean.device)
    return mean + noise
