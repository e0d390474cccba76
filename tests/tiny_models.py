"""Models of a few thousand parameters, of the same classes as the real ones, in folders laid out as theirs."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DiTTransformer2DModel,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, ViTConfig, ViTForImageClassification

from ddoq.seeds import stream

SIDE = 32  # pixels; latents are half as wide
PREPROCESSOR = {
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.25],
    "rescale_factor": 1 / 255,
    "size": {"height": 16, "width": 16},
}
WORDS = ("rose", "daisy", "tulip", "photo", "cartoon", "a", "of")


def save_kl(folder: Path, **options: Any) -> None:
    """Save a Stable-Diffusion-shaped autoencoder of 4 x 16 x 16 latents, with a scale of its own."""
    options = {"block_out_channels": (8, 8), "norm_num_groups": 4, "scaling_factor": 0.5, **options}
    depth = len(options["block_out_channels"])
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * depth,
        "up_block_types": ("UpDecoderBlock2D",) * depth,
    }
    _drawn(AutoencoderKL(**blocks, **options, latent_channels=4)).save_pretrained(folder)


def save_taesd(folder: Path) -> None:
    """Save a TAESD-shaped autoencoder, which has no posterior."""
    blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    _drawn(AutoencoderTiny(**blocks, **layers, latent_channels=4)).save_pretrained(folder)


def save_dit(
    folder: Path,
    names: Mapping[int, str],
    *,
    n_ids: int | None = None,
    pixels: bool = False,
    scheduler: Mapping[str, Any] | None = None,
) -> Path:
    """Save a DiT: of `n_ids` classes (as many as names), on pixels or with an autoencoder."""
    channels, side = (3, SIDE) if pixels else (4, SIDE // 2)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        in_channels=channels,
        out_channels=2 * channels,  # as DiT: the variance is learned with the mean
        sample_size=side,
        num_embeds_ada_norm=n_ids or len(names),
    )
    _drawn(transformer).save_pretrained(folder / "transformer")
    _save_scheduler(folder, scheduler)
    parts = {"transformer": ["diffusers", "DiTTransformer2DModel"], "scheduler": ["diffusers", "DDIMScheduler"]}
    if not pixels:
        save_kl(folder / "vae")
        parts["vae"] = ["diffusers", "AutoencoderKL"]
    _save_index(folder, {"_class_name": "DiTPipeline", **parts, "id2label": names})
    return folder


def save_stable_diffusion(folder: Path, scheduler: Mapping[str, Any] | None = None, **options: Any) -> Path:
    """Save a Stable Diffusion whose tokenizer knows WORDS, and letters; `options` are of its UNet."""
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        **options,
    )
    _drawn(unet).save_pretrained(folder / "unet")
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    _drawn(CLIPTextModel(text)).save_pretrained(folder / "text_encoder")
    save_kl(folder / "vae")
    _save_scheduler(folder, scheduler)
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    _save_index(folder, {"_class_name": "StableDiffusionPipeline", **parts})
    return folder


def save_vit(folder: Path, names: Sequence[str], side: int = 16, preprocessor: Mapping[str, Any] | None = None) -> Any:
    """Save an image classifier with what it has to be shown, and answer it."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    model = _drawn(ViTForImageClassification(ViTConfig(image_size=side, patch_size=4, **sizes, **labels))).eval()
    model.save_pretrained(folder)
    said = PREPROCESSOR if preprocessor is None else preprocessor
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return model


def save_hub_cache(folder: Path, cache: Path, repository: str, commit: str) -> None:
    """Lay a folder out as the hub's cache keeps a repository at a commit: blobs, and links to them in a snapshot."""
    kept = cache / f"models--{repository.replace('/', '--')}"
    blobs, snapshot = kept / "blobs", kept / "snapshots" / commit
    blobs.mkdir(parents=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, file in enumerate(files):
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blobs / f"{number:040x}")
        link.symlink_to(blobs / f"{number:040x}")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)


def pictures(n: int = 3, side: int = SIDE) -> torch.Tensor:
    """Draw images of noise, the same every time."""
    return torch.randint(256, (n, 3, side, side), generator=stream(0, "pictures"), dtype=torch.uint8)


def _drawn(model: nn.Module) -> Any:
    """Draw every weight anew, so that no output is zero, which DiT's are when it is new."""
    rng = stream(0, type(model).__name__)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=rng) * weight[0].numel() ** -0.5)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=rng) * 0.1)
    return model


def _tokenizer() -> CLIPTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz,"
    merges, vocabulary = [], ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            vocabulary.append(pieces[0])
    ids = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    return CLIPTokenizer(vocab=ids, merges=list(dict.fromkeys(merges)), model_max_length=16)


def _save_scheduler(folder: Path, options: Mapping[str, Any] | None) -> None:
    DDIMScheduler(**options or {}).save_pretrained(folder / "scheduler")


def _save_index(folder: Path, index: Mapping[str, Any]) -> None:
    (folder / "model_index.json").write_text(json.dumps(index))
