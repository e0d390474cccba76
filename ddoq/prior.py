"""What turns images into latents and back. The only place that knows diffusers."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from huggingface_hub.errors import HfHubHTTPError
from jaxtyping import Float, UInt8
from torch import Tensor

from ddoq.config import DistillConfig, PixelsPrior, VaePrior
from ddoq.device import choose_device, choose_dtype
from ddoq.errors import PriorNotFoundError, ResolutionError

AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


@runtime_checkable
class LatentPrior(Protocol):
    """A latent space of square images of side `resolution`, in which `batch_size` images at a time are handled."""

    @property
    def resolution(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    def encode(self, images: UInt8[Tensor, "b 3 h h"]) -> Float[Tensor, "b d"]:
        """Map images to latents, scaled as the prior's own model wants them, float32 on the CPU."""
        ...

    def decode(self, z: Float[Tensor, "b d"]) -> UInt8[Tensor, "b 3 h h"]:
        """Map latents to images."""
        ...


@dataclass(frozen=True)
class Pixels:
    """The image is its own latent, in [-1, 1]."""

    resolution: int
    batch_size: int = 256

    def encode(self, images: UInt8[Tensor, "b 3 h h"]) -> Float[Tensor, "b d"]:
        return _to_unit(images).flatten(1)

    def decode(self, z: Float[Tensor, "b d"]) -> UInt8[Tensor, "b 3 h h"]:
        return _to_bytes(z.unflatten(1, (3, self.resolution, self.resolution)))


@dataclass(frozen=True)
class Vae:
    """The latent space of an autoencoder: posterior mean, shifted and scaled as its diffusion model wants it."""

    model: Any  # an AutoencoderKL or AutoencoderTiny, which diffusers leaves untyped
    shape: tuple[int, int, int]
    resolution: int
    batch_size: int

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "b 3 h h"]) -> Float[Tensor, "b d"]:
        posterior = self.model.encode(_to_unit(images.to(self.model.device)).to(self.model.dtype))
        latents = posterior.latent_dist.mode() if hasattr(posterior, "latent_dist") else posterior.latents
        z: Tensor = (latents.float() - self._shift) * self._scale
        return z.flatten(1).cpu()

    @torch.inference_mode()
    def decode(self, z: Float[Tensor, "b d"]) -> UInt8[Tensor, "b 3 h h"]:
        latents = z.unflatten(1, self.shape).to(self.model.device) / self._scale + self._shift
        return _to_bytes(self.model.decode(latents.to(self.model.dtype)).sample.float()).cpu()

    @property
    def _scale(self) -> float:
        return float(self.model.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(getattr(self.model.config, "shift_factor", None) or 0.0)


def load_prior(config: DistillConfig) -> LatentPrior:
    """Load the prior that the config names onto the device at hand.

    Raises:
        PriorNotFoundError: no such folder or hub repository, or no autoencoder with safetensors weights in it.
        ResolutionError: the autoencoder cannot halve this resolution as often as it has to.
    """
    if isinstance(config.prior, PixelsPrior):
        return Pixels(config.prior.resolution)
    return _load_vae(config.prior)


def _load_vae(config: VaePrior) -> Vae:
    device = choose_device()
    model = _load_autoencoder(config, choose_dtype(device)).to(device).eval().requires_grad_(False)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    shape = _latent_shape(model, config)
    return Vae(model, shape, config.resolution, config.batch_size)


def _load_autoencoder(config: VaePrior, dtype: torch.dtype) -> Any:
    where = {"local_files_only": True} if Path(config.model).is_dir() else {"revision": config.revision}
    if config.revision is None and not Path(config.model).is_dir():
        raise PriorNotFoundError(
            f"no folder {config.model!r}; for a hub id set prior.revision to the commit that is meant"
        )
    try:
        name = AutoencoderKL.load_config(config.model, **where).get("_class_name")
        if name not in AUTOENCODERS:
            known = " or ".join(AUTOENCODERS)
            raise PriorNotFoundError(f"{config.model!r} holds a {name}; prior.model must be an {known}")
        return AUTOENCODERS[name].from_pretrained(
            config.model, use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=dtype, **where
        )
    except (OSError, HfHubHTTPError, ValueError) as error:
        sentence = str(error).strip().partition("\n")[0]
        raise PriorNotFoundError(f"cannot load an autoencoder from {config.model!r}: {sentence}") from error


def _latent_shape(model: Any, config: VaePrior) -> tuple[int, int, int]:
    """Shape of one latent, found by encoding a blank image; the way back must give the resolution again."""
    probe = Vae(model, (0, 0, 0), config.resolution, 1)
    blank = torch.zeros(1, 3, config.resolution, config.resolution, dtype=torch.uint8)
    channels = int(model.config.latent_channels)
    side = round((prod(probe.encode(blank).shape) / channels) ** 0.5)
    shape = (channels, side, side)
    decoded = Vae(model, shape, config.resolution, 1).decode(torch.zeros(1, prod(shape))).shape[-1]
    if decoded != config.resolution:
        raise ResolutionError(
            f"{config.model!r} turns {config.resolution} pixels into {decoded}; set prior.resolution to {decoded}"
        )
    return shape


def _to_unit(images: UInt8[Tensor, "b 3 h h"]) -> Float[Tensor, "b 3 h h"]:
    return images.float() / 127.5 - 1


def _to_bytes(images: Float[Tensor, "b 3 h h"]) -> UInt8[Tensor, "b 3 h h"]:
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
