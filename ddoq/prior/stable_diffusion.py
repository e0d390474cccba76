"""Text-conditional models in the manner of Stable Diffusion (arXiv:2112.10752), told a class by a prompt."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

from ddoq.device import choose_device, choose_dtype
from ddoq.errors import ClassIdError, ConfigError, PriorNotFoundError
from ddoq.model_source import ModelSource
from ddoq.prior.autoencoder import load_autoencoder, make_space
from ddoq.prior.contract import LatentPrior
from ddoq.prior.denoising import Diffusion
from ddoq.prior.placement import Placed, place
from ddoq.prior_config import StableDiffusionPrior

PROMPTS_AT_ONCE = 64


@dataclass(frozen=True)
class StableDiffusion:
    """A UNet that is told texts. `texts` embeds the prompts of the classes, and last the negative prompt."""

    placed: Placed  # of a UNet2DConditionModel
    scheduler: Mapping[str, Any]
    texts: Float[Tensor, "c1 t e"]

    @contextmanager
    def at_work(self) -> Iterator[torch.device]:
        with self.placed.at_work():
            yield self.placed.device

    def condition(self, labels: Int[Tensor, " b"]) -> Float[Tensor, "b t e"]:
        return self.texts[labels].to(self.placed.device)

    def predict(
        self, x: Float[Tensor, "b c h w"], t: Tensor, condition: Float[Tensor, "b t e"]
    ) -> Float[Tensor, "b c h w"]:
        model = self.placed.model
        predicted: Tensor = model(x.to(model.dtype), t, encoder_hidden_states=condition).sample
        return predicted[:, : x.shape[1]].float()  # what may follow is the variance


def load_stable_diffusion(prior: StableDiffusionPrior, class_names: Sequence[str]) -> Diffusion:
    """Embed the prompts of the classes and load the UNet and the autoencoder; the text encoder is let go before.

    Raises:
        PriorNotFoundError: something is missing in the folder, or does not fit together.
        ResolutionError: the autoencoder does not give the resolution back.
        ClassIdError: a prompt is given for what is no class of the dataset.
        ConfigError: a prompt is longer than the model reads.
    """
    source, device = ModelSource(prior.model, prior.revision), choose_device()
    dtype = choose_dtype(device)
    texts = _embed(_prompts(prior, class_names), source, device)
    unet = source.load_model(UNet2DConditionModel, "unet", dtype)
    autoencoder = load_autoencoder(source, "vae", dtype)
    placed, placed_autoencoder = place((unet, autoencoder), device)
    space = make_space(prior, placed_autoencoder)
    _check_parts(unet, space, texts)
    if prior.compile:
        unet.compile()
    return Diffusion(space, StableDiffusion(placed, source.read_json("scheduler/scheduler_config.json"), texts))


def _prompts(prior: StableDiffusionPrior, class_names: Sequence[str]) -> list[str]:
    """Say what the model is told of each class, and last what guidance leads away from."""
    if unknown := sorted(prior.class_prompts.keys() - set(class_names)):
        raise ClassIdError(f"prior.class_prompts names {', '.join(map(repr, unknown[:20]))}, no class of the dataset")
    spoken = [prior.class_prompts.get(name, name) for name in class_names]
    return [*(prior.prompt.replace("{class}", name) for name in spoken), prior.negative_prompt]


def _embed(prompts: Sequence[str], source: ModelSource, device: torch.device) -> Float[Tensor, "p t e"]:
    """Embed each prompt, all padded to the length that the text encoder reads."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading, which would break into ours
    tokens = _tokens(prompts, source.load_part(CLIPTokenizer, "tokenizer"))
    (placed,) = place((source.load_model(CLIPTextModel, "text_encoder", choose_dtype(device)),), device)
    with placed.at_work() as model, torch.inference_mode():
        parts = [model(some.to(device))[0].cpu() for some in tokens.split(PROMPTS_AT_ONCE)]
    return torch.cat(parts)


def _tokens(prompts: Sequence[str], tokenizer: Any) -> Int[Tensor, "p t"]:
    limit = tokenizer.model_max_length
    for prompt, tokens in zip(prompts, tokenizer(list(prompts), verbose=False).input_ids, strict=True):
        if len(tokens) > limit:
            raise ConfigError(f"the prompt {prompt!r} has {len(tokens)} tokens, the model reads {limit}; shorten it")
    padded: Tensor = tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt").input_ids
    return padded


def _check_parts(unet: Any, space: LatentPrior, texts: Float[Tensor, "c1 t e"]) -> None:
    channels, width = space.latent_shape[0], texts.shape[2]
    if unet.config.in_channels != channels:
        raise PriorNotFoundError(
            f"the UNet takes {unet.config.in_channels} channels, but the autoencoder makes {channels}; "
            "inpainting and depth models cannot be used"
        )
    if unet.config.addition_embed_type is not None or unet.config.cross_attention_dim != width:
        raise PriorNotFoundError(
            f"the UNet wants more than the {width} numbers a token of one text encoder; "
            "use a model of Stable Diffusion 1 or 2"
        )
