"""Trained students on disk: what a block of the train stage leaves, and the complete stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from ddoq.image_rules import BadImage
from ddoq.manifests import read_manifest
from ddoq.networks import load_network
from ddoq.plans import TrainingPlan
from ddoq.tuning import Trials


@dataclass(frozen=True)
class TrainedManifest:
    """The students of one contender of a budget, a safetensors file each.

    `trials` are what the learning rates tried have reached, empty where none were; `n_bad` of the validation images did
    not decode, `first_bad` before all others. Where `is_left_out`, nothing was trained: the contender's weights come to
    the same as another's.
    """

    budget: str
    contender: str
    is_left_out: bool = False
    trials: Trials = field(default_factory=dict)
    n_bad: int = 0
    first_bad: BadImage | None = None


@dataclass(frozen=True)
class TrainManifest:
    """Whose students were trained: by budget the contenders in their order, each in a folder of the budget's."""

    contenders: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Trained:
    """The students of one contender of a budget in a complete train stage."""

    folder: Path
    manifest: TrainedManifest

    @property
    def n_bytes(self) -> int:
        """Bytes that the weights of all students take."""
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))


def contender_folder(folder: Path, budget: str, contender: str) -> Path:
    """Where the students of a contender lie in the folder of the stage."""
    return folder / budget / contender.replace(", ", "-").replace(" ", "-")


def open_trained(folder: Path) -> dict[str, dict[str, Trained]]:
    """Open the students of a complete train stage, by budget, then contender in order."""
    return {
        budget: {name: _open(contender_folder(folder, budget, name)) for name in names}
        for budget, names in read_manifest(folder, TrainManifest).contenders.items()
    }


def save_student(student: nn.Module, folder: Path, network: str, seed: int) -> None:
    """Write the weights of a student to the bit, on whatever device they are."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in student.state_dict().items()}
    save_file(weights, _file(folder, network, seed))


def load_students(folder: Path, plan: TrainingPlan, side: int, n_seeds: int) -> dict[str, Sequence[nn.Module]]:
    """Load the students of each network of a plan, one a seed, in evaluation mode on the plan's device.

    Args:
        folder: Where they were saved.
        plan: Networks, classes and device.
        side: Of the images that they are shown, in pixels.
        n_seeds: Students of each network.

    Raises:
        ConfigError: a file is missing, or holds the weights of another network.
    """
    return {
        network.name: [
            load_network(_file(folder, network.name, seed), network, plan.n_classes, side).to(plan.device)
            for seed in range(n_seeds)
        ]
        for network in plan.protocol.networks
    }


def _open(folder: Path) -> Trained:
    return Trained(folder, read_manifest(folder, TrainedManifest))


def _file(folder: Path, network: str, seed: int) -> Path:
    return folder / f"{network}.{seed}.safetensors"
