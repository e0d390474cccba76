"""Teachers: trained networks that label images, whatever they come from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Float16, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ddoq.augment import Normalise
from ddoq.class_order import class_order
from ddoq.config import DistillConfig
from ddoq.device import choose_device
from ddoq.errors import ConfigError
from ddoq.lessons import BATCH, ask
from ddoq.manifests import read_manifest
from ddoq.model_source import ModelSource
from ddoq.networks import load_network, open_classifier
from ddoq.preprocessing import resolve_preprocessing
from ddoq.teach import TAUGHT, TaughtManifest
from ddoq.teacher_config import CheckpointTeacher, PretrainedTeacher, TrainedTeacher


class Teacher:
    """A trained network on the device there is, and what it has to be shown.

    Its logits are in the order of the dataset's classes. `resolution` is the side in pixels of the images that it
    sees, `batch_size` how many it looks at at once, `remarks` are sentences on what was taken for granted.
    """

    def __init__(self, network: nn.Module, show: Normalise, resolution: int, remarks: Sequence[str] = ()) -> None:
        """Take a network in evaluation mode, its weights fixed."""
        self.resolution, self.device, self.remarks = resolution, choose_device(), tuple(remarks)
        self.batch_size = BATCH
        self._network, self._show = network.to(self.device), show

    def label(self, images: UInt8[Tensor, "b 3 h h"]) -> Float16[Tensor, "b c"]:
        """Look at images as they are; answer logits in half precision, on the CPU.

        Raises:
            TeacherError: they are NaN, or too large for half precision.
        """
        return ask(self, images.to(self.device) / 255).cpu()

    @torch.no_grad()
    def look(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b c"]:
        """Answer logits of images in [0, 1], both on the teacher's device.

        Images of another side than `resolution` are resized, bilinearly and with antialiasing.
        """
        return torch.cat([self._look_at_once(part) for part in images.split(self.batch_size)])

    def _look_at_once(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b c"]:
        side = (self.resolution, self.resolution)
        if images.shape[-2:] != side:
            images = interpolate(images, side, mode="bilinear", antialias=True)
        nothing_drawn = torch.empty(len(images), 0, dtype=torch.float16)
        logits: Tensor = self._network(self._show.apply(images, nothing_drawn))
        return logits


def load_teacher(config: DistillConfig, class_names: Sequence[str], folder: Path | None) -> Teacher:
    """Load the teacher that a config names.

    Args:
        config: With a teacher.
        class_names: Of the dataset, in label order.
        folder: Of the teach stage, for a teacher of kind `train`; None for others.

    Raises:
        ConfigError: there is none, or it is not of the kind that the config says, or for other classes.
        TeacherNotFoundError: there is no such pretrained model.
    """
    match config.teacher:
        case CheckpointTeacher() as teacher:
            return _load_checkpoint(teacher, len(class_names))
        case PretrainedTeacher() as teacher:
            return _load_pretrained(teacher, class_names)
        case TrainedTeacher() as teacher if folder is not None:
            return _load_trained(teacher, folder, len(class_names), config.student_resolution)
    raise ConfigError("there is no teacher to label images; set teacher")


def _load_checkpoint(teacher: CheckpointTeacher, n_classes: int) -> Teacher:
    network = load_network(Path(teacher.checkpoint), teacher.resolved_network, n_classes, teacher.resolution)
    return Teacher(network, Normalise(teacher.mean, teacher.deviation), teacher.resolution)


def _load_trained(teacher: TrainedTeacher, folder: Path, n_classes: int, side: int) -> Teacher:
    taught = read_manifest(folder / TAUGHT, TaughtManifest)
    network = load_network(folder / TAUGHT, teacher.resolved_network, n_classes, side)
    return Teacher(network, Normalise(taught.mean, taught.deviation), side, taught.remarks)


def _load_pretrained(teacher: PretrainedTeacher, class_names: Sequence[str]) -> Teacher:
    source = ModelSource(teacher.model, teacher.revision, "teacher")
    seen = resolve_preprocessing(teacher, source)
    network, names = open_classifier(source, len(class_names), seen.resolution)
    order, show = class_order(teacher.model, names, class_names), Normalise(seen.mean, seen.deviation)
    if order is not None:
        return Teacher(InOrder(network, order), show, seen.resolution)
    taken = f"The teacher calls its classes otherwise ({names[0]!r} first): its outputs were taken in the order of the "
    return Teacher(network, show, seen.resolution, (f"{taken}dataset's classes.",))


class InOrder(nn.Module):
    """A network whose outputs are put in another order."""

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network, self._order = network, list(order)

    def forward(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b c"]:
        logits: Tensor = self.network(images)
        return logits[:, self._order]
