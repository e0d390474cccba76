"""What model makes latents and images, and how it is sampled: part of the config. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Resolution = Annotated[int, Field(ge=16, le=1024, multiple_of=8)]
Revision = Annotated[str, Field(min_length=1, max_length=128)]
ModelName = Annotated[str, Field(min_length=1, max_length=512)]
Posterior = Literal["mean", "sample"]

PIXELS_BATCH = 256  # images: where there is no model, any number fits

MODEL = "Hub id, or path of a local diffusers folder; safetensors only."
REVISION = "Commit of the hub repository; required for a hub id."
SIDE = "Side in pixels of the square that the encoder sees and the decoder makes."
BATCH = "Images a batch at most; halved when the memory of the device is short."
POSTERIOR = "Encode the mean of the autoencoder's posterior, or one sample of it an image."
COMPILE = "Compile the models with torch.compile: pays on a GPU for many images, from the second batch on."


class PixelsPrior(Group):
    """No model: a latent is the image itself. For small images."""

    kind: Literal["pixels"] = "pixels"
    resolution: int = Field(32, ge=8, le=64, description="Side in pixels of the square that is quantized.")

    @property
    def batch_size(self) -> int:
        """Images a batch."""
        return PIXELS_BATCH


class VaePrior(Group):
    """The latent space of a diffusers autoencoder (`AutoencoderKL` or `AutoencoderTiny`), decoded as it is."""

    kind: Literal["vae"] = "vae"
    model: ModelName = Field(description=MODEL)
    revision: Revision | None = Field(None, description=REVISION)
    resolution: Resolution = Field(256, description=SIDE)
    latents: Posterior = Field("mean", description=POSTERIOR)
    batch_size: int = Field(32, ge=1, le=1024, description=BATCH)


class StableDiffusionPrior(Group):
    """A Stable Diffusion folder: `vae`, `unet`, `text_encoder`, `tokenizer`, `scheduler`; no safety checker is run."""

    kind: Literal["stable-diffusion"] = "stable-diffusion"
    model: ModelName = Field(description=MODEL)
    revision: Revision | None = Field(None, description=REVISION)
    resolution: Resolution = Field(512, description=SIDE)
    latents: Posterior = Field("mean", description=POSTERIOR)
    batch_size: int = Field(16, ge=1, le=1024, description=BATCH)
    prompt: str = Field("{class}", max_length=1024, description="Text for each image; `{class}` is its class name.")
    class_prompts: dict[str, Annotated[str, Field(min_length=1, max_length=1024)]] = Field(
        {}, max_length=10_000, description="What to say instead of a class name, by class name."
    )
    negative_prompt: str = Field(
        "cartoon, anime, painting", max_length=1024, description="What guidance leads away from."
    )
    compile: bool = Field(False, description=COMPILE)


class DitPrior(Group):
    """A class-conditional diffusion transformer: `transformer`, `scheduler`, `vae`, names in `model_index.json`."""

    kind: Literal["dit"] = "dit"
    model: ModelName = Field(description=MODEL)
    revision: Revision | None = Field(None, description=REVISION)
    resolution: Resolution = Field(256, description=SIDE)
    latents: Posterior = Field("mean", description=POSTERIOR)
    batch_size: int = Field(16, ge=1, le=1024, description=BATCH)
    class_ids: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {},
        max_length=10_000,
        description="The model's class id by class name, where neither that name nor its WordNet id tells it.",
    )
    compile: bool = Field(False, description=COMPILE)


class FitPrior(Group):
    """A compact class-conditional diffusion transformer, trained on this dataset's own latents."""

    kind: Literal["fit"] = "fit"
    model: ModelName | None = Field(None, description=f"Autoencoder whose latents are modelled; none: pixels. {MODEL}")
    revision: Revision | None = Field(None, description=REVISION)
    resolution: Resolution = Field(64, description=f"{SIDE} At most 64 without an autoencoder.")
    latents: Posterior = Field("mean", description=POSTERIOR)
    batch_size: int = Field(32, ge=1, le=1024, description=BATCH)
    compile: bool = Field(False, description=COMPILE)
    size: Literal["small", "medium", "large"] | None = Field(
        None, description="Of the transformer. Default: by the number of images."
    )
    steps: int | None = Field(
        None, ge=1, le=10_000_000, description="Optimiser steps. Default: by the number of images."
    )
    train_batch_size: int | None = Field(
        None, ge=1, le=4096, description="Latents an optimiser step. Default: by the size of the transformer."
    )

    @model_validator(mode="after")
    def _pixels_are_few(self) -> "FitPrior":
        if self.model is None and self.resolution > 64:
            raise ValueError(f"{self.resolution} pixels without prior.model; name an autoencoder or go down to 64")
        return self


ModelPrior = VaePrior | StableDiffusionPrior | DitPrior | FitPrior
Prior = PixelsPrior | ModelPrior


class SamplerConfig(Group):
    """How a noised codeword is turned back into an image by a diffusion model."""

    scheduler: Literal["ddim", "dpm-solver++", "ddpm"] = Field("ddim", description="Solver of the reverse diffusion.")
    steps: int = Field(50, ge=1, le=1000, description="Steps from pure noise; a share `strength` of them is run.")
    strength: float | None = Field(
        None,
        ge=0,
        le=1,
        description="How far the codeword is noised: 0 decodes it as it is, 1 ignores it. Default: by prior.",
    )
    guidance: float | None = Field(
        None, ge=1, le=30, description="Classifier-free guidance; 1 is the conditional model. Default: by prior."
    )


@dataclass(frozen=True)
class Sampler:
    """A `SamplerConfig` with nothing left open."""

    scheduler: Literal["ddim", "dpm-solver++", "ddpm"]
    steps: int
    strength: float
    guidance: float


# By prior: strength and guidance. Stable Diffusion's are D4M's, DiT's guidance is its authors'; those of `fit` taught
# students best (benchmarks/strengths.py): with more strength its images leave the centroids, with less they are blurs.
DENOISING: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"stable-diffusion": (0.7, 8.0), "dit": (0.7, 4.0), "fit": (0.3, 2.0)}
)
