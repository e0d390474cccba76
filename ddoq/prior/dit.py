"""Class-conditional diffusion transformers in the manner of DiT (arXiv:2212.09748), and those that were fitted here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from jaxtyping import Float, Int
from torch import Tensor

from ddoq.device import choose_device, choose_dtype
from ddoq.errors import PriorNotFoundError, ResolutionError
from ddoq.model_source import ModelSource
from ddoq.prior.autoencoder import load_autoencoder, make_space
from ddoq.prior.class_ids import Vocabulary, find_class_ids
from ddoq.prior.contract import LatentPrior
from ddoq.prior.denoising import Diffusion
from ddoq.prior.placement import Placed, place
from ddoq.prior_config import DitPrior, FitPrior

INDEX = "model_index.json"


@dataclass(frozen=True)
class Dit:
    """A transformer that is told classes by id. `class_ids` are those of the dataset's classes; the last is none."""

    placed: Placed  # of a DiTTransformer2DModel
    scheduler: Mapping[str, Any]
    class_ids: Int[Tensor, " c1"]

    @contextmanager
    def at_work(self) -> Iterator[torch.device]:
        with self.placed.at_work():
            yield self.placed.device

    def condition(self, labels: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        return self.class_ids[labels].to(self.placed.device)

    def predict(self, x: Float[Tensor, "b c h w"], t: Tensor, condition: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        model = self.placed.model
        times = t.to(x.device).expand(len(x))
        predicted: Tensor = model(x.to(model.dtype), timestep=times, class_labels=condition).sample
        return predicted[:, : x.shape[1]].float()  # what may follow is the variance


def load_dit(prior: DitPrior | FitPrior, source: ModelSource, class_names: Sequence[str]) -> Diffusion:
    """Load a diffusion transformer, its autoencoder (without one, it works on pixels) and the ids of the classes.

    Raises:
        PriorNotFoundError: something is missing in the folder, or does not fit together.
        ResolutionError: the transformer, whose positions are fixed, takes latents of another side.
        ClassIdError: it does not know a class.
    """
    device = choose_device()
    dtype = choose_dtype(device)
    autoencoder = load_dit_autoencoder(source, dtype)
    transformer = source.load_model(DiTTransformer2DModel, "transformer", dtype)
    class_ids = _class_ids(transformer, source, class_names, prior)
    placed, *rest = place((transformer,) if autoencoder is None else (transformer, autoencoder), device)
    space = make_space(prior, rest[0] if rest else None)
    _check_latents(transformer, space)
    if prior.compile:
        transformer.compile()
    return Diffusion(space, Dit(placed, source.read_json("scheduler/scheduler_config.json"), class_ids))


def load_dit_autoencoder(source: ModelSource, dtype: torch.dtype) -> Any | None:
    """Load the autoencoder of a folder; there is none when its transformer works on pixels."""
    return load_autoencoder(source, "vae", dtype) if "vae" in source.read_json(INDEX) else None


def _class_ids(
    transformer: Any, source: ModelSource, class_names: Sequence[str], prior: DitPrior | FitPrior
) -> Int[Tensor, " c1"]:
    labels = {int(class_id): str(name) for class_id, name in source.read_json(INDEX).get("id2label", {}).items()}
    n_ids = int(transformer.config.num_embeds_ada_norm)
    given = prior.class_ids if isinstance(prior, DitPrior) else {}
    ids = find_class_ids(class_names, Vocabulary(n_ids, labels), given)
    return torch.tensor([*ids, n_ids])  # the last embedding stood for no class in training


def _check_latents(transformer: Any, space: LatentPrior) -> None:
    channels, side, _ = space.latent_shape
    if side != (wanted := int(transformer.config.sample_size)):
        raise ResolutionError(
            f"the transformer takes latents of side {wanted}, but {space.resolution} pixels become {side}; "
            f"set prior.resolution to {space.resolution * wanted // side}"
        )
    if channels != transformer.config.in_channels:
        raise PriorNotFoundError(
            f"the transformer takes latents of {transformer.config.in_channels} channels, but the autoencoder makes "
            f"{channels}: the two are no pair"
        )
