"""Stage encode, but for blocks that another distillation has done before: they are kept under a content key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ddoq.blocks import block_folder, cut_images, images_a_block
from ddoq.config import DistillConfig
from ddoq.content_keys import content_key, model_content
from ddoq.device import choose_device, choose_dtype
from ddoq.encode import Encoder, join_latents
from ddoq.events import Stage, Tally
from ddoq.manifests import is_complete
from ddoq.prior import load_encoder
from ddoq.prior_config import DitPrior, PixelsPrior, Prior, StableDiffusionPrior
from ddoq.run import Run, dataset_of, found

ENCODE_VERSION: Final = 2  # to be raised whenever the same settings would make other latents
NOT_OF_LATENTS: Final = {"prompt", "class_prompts", "negative_prompt", "class_ids", "size", "steps", "train_batch_size"}


def encode_blocks(run: Run, blocks: Sequence[int]) -> None:
    """Encode some blocks of training images, or fetch what came of them before: the same files, byte for byte.

    What is fetched needs neither the dataset nor the model. Latents for which the memory was too short are not kept:
    with more of it they would be others, by rounding.

    Raises:
        DdoqError: whatever `open_dataset`, `load_encoder` and `Encoder.encode` refuse.
    """
    listed, folder, missing = found(run), run.folders[Stage.ENCODE], list[int]()
    key = encode_key(run.config, listed.fingerprint, listed.class_names)
    ranges = cut_images(run.config, sum(listed.n_train))
    tally = Tally(run.on_event, Stage.ENCODE, sum(len(ranges[block]) for block in blocks))
    for block in blocks:
        own = block_folder(folder, block)
        if is_complete(own) or run.cache.fetch(f"{key}/{block:05d}", own):
            tally.add(len(ranges[block]))
        else:
            missing.append(block)
    if not missing:
        return
    prior = load_encoder(run.config)
    encoder = Encoder(dataset_of(run), prior, run.config, folder, run.halved(prior.batch_size))
    for block, made in encoder.encode(missing, tally):
        if made.smaller_batch is None:
            run.cache.store(f"{key}/{block:05d}", block_folder(folder, block))


def join_encoded(run: Run, parts: Sequence[Path]) -> None:
    """Make one stage of its blocks."""
    join_latents(parts, run.config, sum(found(run).n_train), run.folders[Stage.ENCODE])


def encode_key(config: DistillConfig, fingerprint: str, class_names: Sequence[str]) -> str:
    """Answer the SHA-256 (hex) of everything that latents depend on; reads a local autoencoder's files.

    The sizes of a batch and of a block are part of it, and so is the kind of device.

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
        images_a_block=images_a_block(config),
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
