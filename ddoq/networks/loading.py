"""A trained network, such as a teacher, from a file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from ddoq.errors import ConfigError
from ddoq.network_config import ARCHITECTURES, NetworkConfig
from ddoq.networks.making import make_network

WEIGHTS = "model.safetensors"
COUNTER = "num_batches_tracked"  # of BatchNorm; of no use outside of training, so not every checkpoint has it


def load_network(place: Path, network: NetworkConfig | str, n_classes: int, side: int) -> nn.Module:
    """Load a trained network on the CPU: in evaluation mode, its weights fixed.

    Args:
        place: A safetensors file, or a folder with `model.safetensors`.
        network: The architecture of which it holds every weight, under the architecture's own names.
        n_classes: Classes that it tells apart.
        side: Of the images that it will be shown, in pixels.

    Raises:
        ConfigError: there is no such network or file, or its names and shapes are not those of the network.
    """
    config = NetworkConfig(network) if isinstance(network, str) else network
    if config.name not in ARCHITECTURES:
        raise ConfigError(f"no network {config.name!r} to load weights into: use {', '.join(ARCHITECTURES)}")
    made = make_network(config, n_classes, side, Generator())
    file = place / WEIGHTS if place.is_dir() else place
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read weights from {file} ({error}); give a .safetensors file") from error
    _check(weights, made.state_dict(), file)
    made.load_state_dict(weights, strict=False)
    return made.eval().requires_grad_(False)


def _check(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    """Refuse names and shapes that are not exactly those wanted."""
    if missing := [name for name in wanted if name not in found and not name.endswith(COUNTER)]:
        raise ConfigError(f"{file} lacks {missing[0]!r} and {len(missing) - 1} more; is it another network?")
    if unknown := sorted(found.keys() - wanted.keys()):
        raise ConfigError(f"{file} has {unknown[0]!r} and {len(unknown) - 1} more that the network does not have")
    for name, weight in found.items():
        if weight.shape != wanted[name].shape:
            raise ConfigError(
                f"{name!r} in {file} is of shape {tuple(weight.shape)}, in the network of {tuple(wanted[name].shape)}; "
                "check the number of classes, the width and the size of the images"
            )
