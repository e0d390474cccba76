"""The prior that a config names, loaded onto the device at hand."""

from collections.abc import Sequence
from pathlib import Path

from ddoq.config import DistillConfig
from ddoq.device import choose_device, choose_dtype
from ddoq.errors import ConfigError
from ddoq.model_source import ModelSource
from ddoq.prior.autoencoder import load_autoencoder, make_space
from ddoq.prior.contract import Denoiser, LatentPrior
from ddoq.prior.dit import load_dit, load_dit_autoencoder
from ddoq.prior.pixels import Pixels
from ddoq.prior.placement import place
from ddoq.prior_config import DitPrior, FitPrior, PixelsPrior, StableDiffusionPrior


def load_encoder(config: DistillConfig) -> LatentPrior:
    """Load what encodes and decodes, and nothing else, of the prior that the config names.

    Raises:
        PriorNotFoundError: no such folder or hub repository, or no autoencoder with safetensors weights in it.
        ResolutionError: the autoencoder cannot halve this resolution as often as it has to.
        ConfigError: samples of the posterior are wanted, and there is none.
    """
    prior = config.prior
    if isinstance(prior, PixelsPrior):
        return Pixels(prior.resolution, prior.batch_size)
    if prior.model is None:
        return make_space(prior, None)
    source, device = ModelSource(prior.model, prior.revision), choose_device()
    if isinstance(prior, DitPrior):
        autoencoder = load_dit_autoencoder(source, choose_dtype(device))
    else:
        subfolder = "vae" if isinstance(prior, StableDiffusionPrior) else None
        autoencoder = load_autoencoder(source, subfolder, choose_dtype(device))
    return make_space(prior, autoencoder and place((autoencoder,), device)[0])


def load_denoiser(config: DistillConfig, class_names: Sequence[str], fitted: Path | None) -> Denoiser:
    """Load the prior that the config names, its diffusion model included.

    Args:
        config: Its prior is of a kind that has a diffusion model.
        class_names: Classes of the dataset, in label order.
        fitted: The folder of the model that was trained, for a prior of kind `fit`; None for others.

    Raises:
        PriorNotFoundError: no such folder or hub repository, or not everything in it, or not in safetensors.
        ResolutionError: the model cannot work at this resolution.
        ClassIdError: the model does not know a class.
        ConfigError: the prior has no diffusion model, or none was fitted.
    """
    prior = config.prior
    if isinstance(prior, StableDiffusionPrior):
        from ddoq.prior.stable_diffusion import load_stable_diffusion  # imports transformers, which takes seconds

        return load_stable_diffusion(prior, class_names)
    if isinstance(prior, DitPrior):
        return load_dit(prior, ModelSource(prior.model, prior.revision), class_names)
    if isinstance(prior, FitPrior) and fitted is not None:
        return load_dit(prior, ModelSource(str(fitted), None), class_names)
    raise ConfigError(f"prior {prior.kind!r} has no diffusion model to denoise by; only encode and decode with it")
