"""Stage encode, unless another distillation has done the same before: latents are kept under a content key."""

from collections.abc import Sequence
from typing import Final

from ddoq.config import DistillConfig
from ddoq.content_keys import content_key, model_content
from ddoq.device import choose_device, choose_dtype
from ddoq.events import Event, Stage
from ddoq.latents import encode
from ddoq.prior import load_encoder
from ddoq.prior_config import DitPrior, PixelsPrior, Prior, StableDiffusionPrior
from ddoq.run import Run, dataset_of, found

ENCODE_VERSION: Final = 1  # to be raised whenever the same settings would make other latents
NOT_OF_LATENTS: Final = {"prompt", "class_prompts", "negative_prompt", "class_ids", "size", "steps", "train_batch_size"}


def encode_all(run: Run) -> None:
    """Encode the training images, or fetch what came of it before: the same files, byte for byte.

    What is fetched needs neither the dataset nor the model. Latents for which the memory was too short are not kept:
    with more of it they would be others, by rounding.

    Raises:
        DdoqError: whatever `open_dataset`, `load_encoder` and `encode` refuse.
    """
    listed, folder = found(run), run.folders[Stage.ENCODE]
    name = f"{encode_key(run.config, listed.fingerprint, listed.class_names)}/latents"
    if run.cache.fetch(name, folder):
        n_images = sum(listed.n_train)
        run.on_event(Event(Stage.ENCODE, n_images, n_images))
        return
    latents = encode(dataset_of(run), load_encoder(run.config), run.config, folder, run.on_event)
    if latents.manifest.smaller_batch is None:
        run.cache.store(name, folder)


def encode_key(config: DistillConfig, fingerprint: str, class_names: Sequence[str]) -> str:
    """Answer the SHA-256 (hex) of everything that latents depend on; reads a local autoencoder's files.

    The size of a batch is part of it, since it sets where files of latents end, and so is the kind of device.

    Args:
        config: Of the distillation.
        fingerprint: Of the dataset.
        class_names: In label order.
    """
    device = choose_device()
    return content_key(
        config,
        fingerprint,
        class_names,
        version=ENCODE_VERSION,
        max_bad_share=config.dataset.max_bad_share,  # with a smaller one the stage may have to fail
        prior=config.prior.model_dump(exclude={"model", *NOT_OF_LATENTS}),
        autoencoder=_autoencoder(config.prior),
        seed=config.seed if getattr(config.prior, "latents", "mean") == "sample" else None,
        arithmetic=(device.type, str(choose_dtype(device))),
    )


def _autoencoder(prior: Prior) -> str | dict[str, str] | None:
    """What the autoencoder is known by, which whole pipelines have in a folder of its own."""
    if isinstance(prior, PixelsPrior):
        return None
    if isinstance(prior, StableDiffusionPrior | DitPrior):
        return model_content(prior.model, "model_index.json", "vae/*")
    return model_content(prior.model, "*")
