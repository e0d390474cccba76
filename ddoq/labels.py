"""The files of fixed soft labels: what a teacher says of each image as it is, once."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float16
from safetensors.torch import load_file, save_file
from torch import Tensor

from ddoq.manifests import write_manifest

FILE = "soft_labels.safetensors"


@dataclass(frozen=True)
class SoftLabels:
    """Logits of the distilled images and, a tensor a seed, of as many random real ones."""

    distilled: Float16[Tensor, "m c"]
    random: tuple[Float16[Tensor, "m c"], ...]


@dataclass(frozen=True)
class LabelManifest:
    """The budgets whose images were labelled, a folder each."""

    budgets: tuple[str, ...]


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
