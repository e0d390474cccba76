"""Latents -> a diffusion model of them, as an ordinary diffusers folder: stage fit, for the prior of that kind."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

import torch

from ddoq.caches import Cache
from ddoq.config import DistillConfig
from ddoq.content_keys import content_key, model_content
from ddoq.device import choose_device
from ddoq.environments import Environment, environments_of, note_environments
from ddoq.errors import ConfigError, NotFiniteError
from ddoq.events import Event, OnEvent, Stage
from ddoq.fit_plan import plan_fit
from ddoq.fit_training import Rows, Training
from ddoq.here import environment_here
from ddoq.latents import Latents
from ddoq.prior import LatentPrior
from ddoq.prior.autoencoder import Vae
from ddoq.prior_config import FitPrior

FIT_VERSION: Final = 1  # to be raised whenever the same settings would train another prior
READ_LOSS_EVERY: Final = 10  # steps: reading it makes an accelerator wait
SAVING_SHARE: Final = 0.05  # of the time at most goes into checkpoints


@dataclass(frozen=True)
class FitPlace:
    """Where a prior is trained.

    `folder` is the prior's own, `key` stands in `cache` for everything that the prior depends on (`fit_key`), and a
    checkpoint is kept after each `checkpoint_seconds` of work.
    """

    folder: Path
    cache: Cache
    key: str
    checkpoint_seconds: float = 60


def fit_key(config: DistillConfig, fingerprint: str, class_names: Sequence[str]) -> str:
    """Answer the SHA-256 (hex) of everything that a fitted prior depends on; reads a local autoencoder's files.

    Args:
        config: With a prior of kind `fit`.
        fingerprint: Of the dataset.
        class_names: In label order.

    Raises:
        ConfigError: the prior is of another kind.
    """
    prior = _fit_prior(config)
    return content_key(
        config,
        fingerprint,
        class_names,
        version=FIT_VERSION,
        prior=prior.model_dump(exclude={"batch_size", "compile", "model"}),
        autoencoder=model_content(prior.model, "*"),
        seed=config.seed,
        device=choose_device().type,
    )


def fit(
    latents: Latents,
    prior: LatentPrior,
    config: DistillConfig,
    class_names: Sequence[str],
    at: FitPlace,
    on_event: OnEvent,
) -> Path:
    """Train a prior on latents, unless that was done before, and write it into a folder.

    Training goes on from the latest checkpoint in the cache; on a CPU the prior is then, byte for byte, what it would
    have been without the interruption. Memory does not grow with the number of latents. Images cannot be mirrored in
    latent space, so the prior sees none but those that were encoded.

    Args:
        latents: Of the training images.
        prior: What made them.
        config: With a prior of kind `fit`.
        class_names: In label order.
        at: Where to write and what to reuse.
        on_event: Told of every step and the latest loss known; may raise to stop within a step.

    Returns:
        The folder, of diffusers' own kind: `transformer`, `scheduler` and, if latents are not pixels, `vae`.

    Raises:
        ConfigError: the prior is of another kind.
        NotFiniteError: the training diverges.
    """
    plan = plan_fit(_fit_prior(config), sum(latents.manifest.counts), prior.latent_shape)
    if at.cache.fetch(f"{at.key}/prior", at.folder):
        on_event(Event(Stage.FIT, plan.n_steps, plan.n_steps))
    else:
        training = Training(plan, prior.latent_shape, len(class_names), config.seed, choose_device())
        note_environments(at.folder, (environment_here(), *_resume(training, at)))
        _train(training, Rows(latents), at, on_event)
        _write(training, prior, class_names, at.folder)
        at.cache.store(f"{at.key}/prior", at.folder)
    _forget(at, _checkpoints(at))
    return at.folder


def _fit_prior(config: DistillConfig) -> FitPrior:
    if not isinstance(config.prior, FitPrior):
        raise ConfigError(f"prior {config.prior.kind!r} is not trained; only prior 'fit' is")
    return config.prior


def _train(training: Training, rows: Rows, at: FitPlace, on_event: OnEvent) -> None:
    n_steps, loss = training.plan.n_steps, {}
    saved, pause = monotonic(), at.checkpoint_seconds
    while training.n_done < n_steps:
        latest = training.step(training.draw(rows).to(training.device))
        if training.n_done % READ_LOSS_EVERY == 1:  # the first step too
            loss = {"loss": _finite(latest.item(), training)}
        on_event(Event(Stage.FIT, training.n_done, n_steps, loss))
        if monotonic() - saved >= pause:
            started = monotonic()
            _save(training, at)
            saved = monotonic()
            pause = max(at.checkpoint_seconds, (saved - started) / SAVING_SHARE)


def _finite(loss: float, training: Training) -> float:
    if not isfinite(loss):
        raise NotFiniteError(f"the loss is {loss} at step {training.n_done} of the fit; its latents are out of scale")
    return loss


def _resume(training: Training, at: FitPlace) -> tuple[Environment, ...]:
    """Go on from the latest checkpoint there is, and answer what came so far."""
    with TemporaryDirectory(dir=at.folder.parent) as scratch:
        for name in reversed(_checkpoints(at)):
            if at.cache.fetch(name, Path(scratch, "checkpoint")):
                training.load(Path(scratch, "checkpoint"))
                return environments_of(Path(scratch, "checkpoint"))
    return ()


def _save(training: Training, at: FitPlace) -> None:
    """Keep a checkpoint, and forget those before it only then; another job may be ahead with the same prior."""
    own = f"{at.key}/checkpoint-{training.n_done:07d}"
    with TemporaryDirectory(dir=at.folder.parent) as scratch:
        training.save(Path(scratch))
        note_environments(Path(scratch), environments_of(at.folder))
        at.cache.store(own, Path(scratch))
    _forget(at, [name for name in _checkpoints(at) if name < own])


def _checkpoints(at: FitPlace) -> list[str]:
    return [name for name in at.cache.names(at.key) if name.startswith(f"{at.key}/checkpoint-")]


def _forget(at: FitPlace, names: Sequence[str]) -> None:
    for name in names:
        at.cache.forget(name)


def _write(training: Training, prior: LatentPrior, class_names: Sequence[str], folder: Path) -> None:
    """Write the diffusers folder."""
    index = {
        "_class_name": "DiTPipeline",
        "id2label": {str(label): name for label, name in enumerate(class_names)},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
    }
    training.finish().save_pretrained(folder / "transformer")
    training.scheduler.save_pretrained(folder / "scheduler")
    if isinstance(prior, Vae):
        vae = deepcopy(prior.placed.model).to("cpu", memory_format=torch.contiguous_format)
        vae.save_pretrained(folder / "vae")
        index["vae"] = ["diffusers", type(vae).__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
