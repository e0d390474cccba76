"""Images -> fixed soft labels: what a trained network says of each image as it is, once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float16, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ddoq.augment import Normalise
from ddoq.device import choose_device
from ddoq.errors import ConfigError, TeacherError
from ddoq.manifests import write_manifest
from ddoq.networks import load_network
from ddoq.teacher_config import CheckpointTeacher, TeacherConfig

FILE = "soft_labels.safetensors"
BATCH = 64


@dataclass(frozen=True)
class SoftLabels:
    """Logits of the distilled images and, a tensor a seed, of as many random real ones."""

    distilled: Float16[Tensor, "m c"]
    random: tuple[Float16[Tensor, "m c"], ...]


@dataclass(frozen=True)
class LabelManifest:
    """The budgets whose images were labelled, a folder each."""

    budgets: tuple[str, ...]


class Teacher:
    """A trained network on the device there is, with what it has to be shown."""

    def __init__(self, config: TeacherConfig, n_classes: int) -> None:
        """Load it.

        Raises:
            ConfigError: the checkpoint is not there, or is not of such a network for as many classes.
        """
        if not isinstance(config, CheckpointTeacher):
            raise ConfigError(f"teachers of kind {config.kind!r} are not loaded here yet")
        self.resolution, self.device = config.resolution, choose_device()
        self._normalise = Normalise(config.mean, config.deviation)
        loaded = load_network(Path(config.checkpoint), config.resolved_network, n_classes, config.resolution)
        self._network: nn.Module = loaded.to(self.device)

    @torch.inference_mode()
    def label(self, images: UInt8[Tensor, "b 3 h h"]) -> Float16[Tensor, "b c"]:
        """Look at images of the teacher's resolution; answer logits in half precision, on the CPU.

        Raises:
            TeacherError: they are NaN, or too large for half precision.
        """
        logits = torch.cat([self._look(part.to(self.device)) for part in images.split(BATCH)]).half().cpu()
        if not bool(logits.isfinite().all()):
            raise TeacherError("the teacher's logits are not finite in half precision; use another checkpoint")
        return logits

    def _look(self, images: UInt8[Tensor, "b 3 h h"]) -> Tensor:
        nothing_drawn = torch.empty(len(images), 0, dtype=torch.float16)
        logits: Tensor = self._network(self._normalise.apply(images / 255, nothing_drawn))
        return logits


def write_labels(folder: Path, labels: SoftLabels) -> None:
    """Write the soft labels of one budget into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    random = {f"random.{seed}": logits for seed, logits in enumerate(labels.random)}
    save_file({"distilled": labels.distilled, **random}, folder / FILE)


def close_labels(folder: Path, budgets: Iterable[str]) -> None:
    """Write the manifest behind the folders of all budgets."""
    write_manifest(folder, LabelManifest(tuple(budgets)))


def open_labels(folder: Path) -> SoftLabels:
    """Read what `write_labels` wrote."""
    found = load_file(folder / FILE)
    return SoftLabels(found["distilled"], tuple(found[f"random.{seed}"] for seed in range(len(found) - 1)))
