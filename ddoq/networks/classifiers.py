"""Image classifiers of transformers, made to look like any other network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from transformers import AutoConfig, AutoModelForImageClassification, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from ddoq.errors import ConfigError
from ddoq.model_source import ModelSource
from ddoq.network_config import ARCHITECTURES
from ddoq.networks.draws import DrawsFrom

NO_CODE = {"trust_remote_code": False}  # of a model's own; left open, transformers would ask the terminal
_building = Lock()  # transformers replaces functions of torch.nn.init while it builds or loads a model


class Classifier(nn.Module):
    """A classifier that answers logits alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b c"]:
        logits: Float[Tensor, "b c"] = self.model(pixel_values=images).logits
        return logits


def read_classifier(name: str) -> PretrainedConfig:
    """Find the config of a model type, or the one in a local folder.

    Raises:
        ConfigError: neither, or a model that does not classify images.
    """
    try:
        if Path(name).is_dir():
            found: PretrainedConfig = AutoConfig.from_pretrained(name, local_files_only=True, **NO_CODE)  # nosec B615
        else:
            found = AutoConfig.for_model(name)
    except (OSError, ValueError, KeyError) as error:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(
            f"no network {name!r}: use {known}, or a model type or model folder of transformers"
        ) from error
    if not _classifies(found):
        raise ConfigError(f"model type {found.model_type!r} of {name!r} does not classify images in transformers")
    return found


def open_classifier(source: ModelSource, n_classes: int, side: int) -> tuple[nn.Module, tuple[str, ...]]:
    """Load the trained model of a source, in evaluation mode, its weights fixed, and what it calls its outputs.

    Raises:
        ConfigError: it tells another number of classes apart, or cannot take images of `side` pixels.
        DdoqError: the source's error: it is not there, does not classify images, or brings code of its own.
    """
    config = source.load_part(AutoConfig, None, **NO_CODE)
    if not _classifies(config):
        raise source.error(
            f"model type {config.model_type!r} of {source.name!r} does not classify images in transformers"
        )
    if config.num_labels != n_classes:
        raise ConfigError(
            f"{source.name!r} tells {config.num_labels} classes apart, but the dataset has {n_classes}; use a model of "
            "these classes"
        )
    with _building:
        model: PreTrainedModel = source.load_model(AutoModelForImageClassification, None, torch.float32, **NO_CODE)
    network = Classifier(model).eval().requires_grad_(False)
    with _refused(source.name, side):
        _try(network, side)
    return network, tuple(str(config.id2label.get(index, index)) for index in range(n_classes))


def make_classifier(config: PretrainedConfig, n_classes: int, side: int, rng: Generator) -> nn.Module:
    """Build the untrained model of `config` for RGB images of `side` pixels, its weights as transformers draws them.

    Raises:
        ConfigError: the model cannot take images of that size.
    """
    _adapt(config, n_classes, side)
    build: Callable[..., PreTrainedModel] = AutoModelForImageClassification.from_config
    with _refused(config.model_type, side):
        with _building, DrawsFrom(rng):
            model = build(config, dtype=torch.float32)
        _try(Classifier(model).eval(), side)
    return Classifier(model).train()


@contextmanager
def _refused(name: str, side: int) -> Iterator[None]:
    """Say of whatever is raised that the model cannot take images of `side` pixels."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{name!r} cannot take images of {side} pixels ({reason}); resize them") from error


@torch.inference_mode()
def _try(network: nn.Module, side: int) -> None:
    network(torch.zeros(1, 3, side, side))


def _classifies(config: PretrainedConfig) -> bool:
    return config.model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES


def _adapt(config: PretrainedConfig, n_classes: int, side: int) -> None:
    """Set what a config says of its inputs and outputs, where it does."""
    config.num_labels = n_classes
    for name, value in {"image_size": side, "num_channels": 3}.items():
        if hasattr(config, name):
            setattr(config, name, value)
