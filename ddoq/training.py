"""The recipe of an archive, applied: a trained student from the archive alone."""

from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ddoq.archive import DistilledArchive, Recipe, load_archive
from ddoq.augment import Normalise
from ddoq.device import choose_device
from ddoq.errors import ArchiveError, ConfigError, TeacherNeededError
from ddoq.images import fit_squares
from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.students import OnStep, train_further
from ddoq.students import train as train_new
from ddoq.threads import one_core
from ddoq.types import TrainingSet


class Student(nn.Module):
    """A trained network that takes images as they are: RGB, squares of `resolution` pixels.

    `network` is the bare one, which wants channels brought to mean zero and deviation one by `mean` and `deviation`.
    """

    def __init__(self, network: nn.Module, class_names: tuple[str, ...], recipe: Recipe) -> None:
        super().__init__()
        self.network, self.class_names, self.resolution = network, class_names, recipe.resolution
        self.mean, self.deviation, self.batch_size = recipe.mean, recipe.deviation, recipe.batch_size

    def forward(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
        """Answer the logits of images that are bytes, or floats from 0 to 1, on the network's device.

        Raises:
            ValueError: the images have another side than `resolution`.
        """
        side = self.resolution
        if images.shape[-2:] != (side, side):
            raise ValueError(
                f"images of {images.shape[-1]} x {images.shape[-2]} pixels, and the student was trained on {side} x "
                f"{side}; bring them there, such as by ddoq.images.fit_squares"
            )
        shown = images if images.is_floating_point() else images / 255
        nothing_drawn = torch.empty(len(images), 0, dtype=torch.float16)
        logits: Float[Tensor, "b c"] = self.network(Normalise(self.mean, self.deviation).apply(shown, nothing_drawn))
        return logits

    @torch.inference_mode()
    def predict(self, images: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> Int[Tensor, " b"]:
        """Number the class of each image, on the CPU, looking at as many images at once as in training.

        Raises:
            ValueError: as of `forward`.
        """
        device = next(self.network.parameters()).device
        return torch.cat([self(part.to(device)).argmax(1) for part in torch.split(images, self.batch_size)]).cpu()


def train(
    archive: DistilledArchive | Path | str,
    network: str | NetworkConfig | nn.Module | None = None,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> Student:
    """Train a student on a distilled set as its recipe says: weights, labels, augmentation, optimiser, schedule, steps.

    A network of the recipe becomes, on a CPU to the bit, the student of that seed in the report: like those it is
    trained on one core. A module of one's own is trained on as many as torch uses, itself, and from where it is.

    Args:
        archive: A distilled archive or its file.
        network: What is trained: a name, as the recipe has it where it is one of the recipe's; a whole config; or a
            module that maps normalised images (b, 3, side, side) to logits (b, classes). Default: the recipe's first.
        seed: Number of the student; the report's are 0, 1, ...
        device: Where it is trained and stays; the first accelerator, else the CPU, when left out.
        on_step: Told steps done and loss after each step; what it raises ends the training.

    Returns:
        The student, in evaluation mode.

    Raises:
        ArchiveError: the file is not a complete, undamaged archive.
        ConfigError: there is no such network, or none for such images and classes.
        TeacherNeededError: labels are made by the teacher on the way.
    """
    loaded = archive if isinstance(archive, DistilledArchive) else load_archive(archive)
    recipe, data = loaded.recipe, training_set(loaded)
    plan, tell = plan_of(recipe, device or choose_device()), on_step or _ignore
    if isinstance(network, nn.Module):
        _require_logits(network.to(plan.device), recipe, plan.device)
        return Student(train_further(network, "", data, plan, seed, tell), loaded.class_names, recipe).eval()
    config = choose_network(network, recipe)
    with one_core(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        return Student(train_new(config, data, plan, seed, tell), loaded.class_names, recipe).eval()


def training_set(archive: DistilledArchive) -> TrainingSet:
    """Make the set that the distilled students of the evaluation were trained on, to the bit.

    Raises:
        TeacherNeededError: its labels are not in the archive.
        ArchiveError: they should be.
    """
    labels, soft = archive.recipe.protocol.labels, archive.stored_labels or archive.soft_labels
    if labels == "live":
        raise TeacherNeededError(
            "the recipe asks the teacher about every view, and the archive holds none; distil with teacher.labels "
            "'stored' or 'fixed' for an archive that can be trained on alone"
        )
    if labels != "hard" and soft is None:
        raise ArchiveError(f"the recipe trains on {labels} soft labels, and the archive has none; download it again")
    return TrainingSet(
        images=fit_squares(archive.images, archive.recipe.resolution),
        labels=archive.labels,
        weights=archive.weights,
        soft_labels=None if labels == "hard" else soft,
    )


def choose_network(network: str | NetworkConfig | None, recipe: Recipe) -> NetworkConfig:
    """Choose what is trained: by name, a network of the recipe as it is there; the recipe's first when left out."""
    if isinstance(network, NetworkConfig):
        return network
    own = recipe.protocol.networks
    if network is None:
        return own[0]
    return next((config for config in own if config.name == network), NetworkConfig(network))


def plan_of(recipe: Recipe, device: torch.device) -> TrainingPlan:
    """Say how students of a recipe are trained, on a device."""
    return TrainingPlan(
        protocol=recipe.protocol,
        n_images=recipe.n_images,
        n_classes=recipe.n_classes,
        mean=recipe.mean,
        deviation=recipe.deviation,
        seed=recipe.seed,
        device=device,
    )


@torch.no_grad()
def _require_logits(network: nn.Module, recipe: Recipe, device: torch.device) -> None:
    """Show a foreign network one empty image before it is trained for long."""
    side = recipe.resolution
    logits = network.eval()(torch.zeros(1, 3, side, side, device=device))
    if not isinstance(logits, Tensor):
        raise ConfigError(f"the network answers a {type(logits).__name__}; wrap it, so that it answers logits alone")
    if (shape := tuple(logits.shape)) != (1, recipe.n_classes):
        raise ConfigError(
            f"the network maps an image of {side} pixels to {shape}, not to (1, {recipe.n_classes}): give it a logit "
            f"for each of the {recipe.n_classes} classes"
        )


def _ignore(_step: int, _loss: Tensor) -> None:
    """Tell nobody."""
