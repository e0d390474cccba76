"""The files of soft labels: of each image as it is, or of each view that students will see."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float16
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddoq.manifests import write_manifest
from ddoq.stored_labels import FolderLabels
from ddoq.types import SoftLabel

FILE = "soft_labels.safetensors"


@dataclass(frozen=True)
class SoftLabels:
    """What labels the distilled images and, one a seed, as many random real ones: all of one kind."""

    distilled: SoftLabel
    random: tuple[SoftLabel, ...]


@dataclass(frozen=True)
class LabelManifest:
    """The budgets whose images were labelled, a folder each."""

    budgets: tuple[str, ...]


def write_labels(folder: Path, logits: Mapping[str, Float16[Tensor, "m c"]]) -> None:
    """Write fixed soft labels of the sets of one budget into `folder`: `distilled`, `random.0` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(logits), folder / FILE)


def close_labels(folder: Path, budgets: Iterable[str]) -> None:
    """Write the manifest behind the folders of all budgets."""
    write_manifest(folder, LabelManifest(tuple(budgets)))


def open_labels(folder: Path) -> SoftLabels:
    """Open the soft labels of one budget: fixed ones by `write_labels`, or stored ones in a folder a set."""
    if (folder / FILE).is_file():
        found: Mapping[str, SoftLabel] = load_file(folder / FILE)
    else:
        found = {below.name: FolderLabels(below) for below in folder.iterdir()}
    return SoftLabels(found["distilled"], tuple(found[f"random.{seed}"] for seed in range(len(found) - 1)))
