"""Latents on disk -> a codebook for each class on disk."""

from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from ddoq.config import DistillConfig
from ddoq.errors import EmptyClassError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import Latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.quantize import quantize
from ddoq.seeds import stream
from ddoq.types import Codebook


@dataclass(frozen=True)
class ClassEntry:
    """One class: mean squared distortion, Lloyd iterations, and the key of the real image nearest to each centroid."""

    distortion: float
    iterations: int
    medoids: tuple[str, ...]


@dataclass(frozen=True)
class CodebooksManifest:
    """What the quantize stage found, one entry a class."""

    classes: tuple[ClassEntry, ...]


@dataclass(frozen=True)
class Codebooks:
    """The codebooks of a complete quantize stage, codewords of each class by falling weight."""

    folder: Path
    manifest: CodebooksManifest

    def of_class(self, label: int) -> Codebook:
        """Read one codebook back; its medoids are rows of the latents of that class."""
        entry = self.manifest.classes[label]
        return Codebook(
            **load_file(_file(self.folder, label)), distortion=entry.distortion, iterations=entry.iterations
        )


def open_codebooks(folder: Path) -> Codebooks:
    """Open what `quantize_all` wrote."""
    return Codebooks(folder, read_manifest(folder, CodebooksManifest))


def quantize_all(
    latents: Latents, class_names: tuple[str, ...], config: DistillConfig, folder: Path, on_event: OnEvent
) -> Codebooks:
    """Quantize every class, one at a time in memory, and write the codebooks into `folder`, the manifest last.

    Raises:
        EmptyClassError: a class has fewer distinct images than `images_per_class`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for label, name in enumerate(class_names):
        book = _quantize_class(latents, label, name, config)
        keys = latents.keys(label)
        entries.append(ClassEntry(book.distortion, book.iterations, tuple(keys[row] for row in book.medoids)))
        tensors = {name: getattr(book, name) for name in ("centroids", "weights", "counts", "medoids")}
        save_file(tensors, _file(folder, label))
        on_event(Event(Stage.QUANTIZE, label + 1, len(class_names), {"distortion": book.distortion}))
    manifest = CodebooksManifest(tuple(entries))
    write_manifest(folder, manifest)
    return Codebooks(folder, manifest)


def _quantize_class(latents: Latents, label: int, name: str, config: DistillConfig) -> Codebook:
    z = latents.of_class(label)
    try:
        book = quantize(z, config.images_per_class, config.quantizer, stream(config.seed, "quantize", label))
    except EmptyClassError as error:
        raise EmptyClassError(f"class {name!r} has {error}; lower images_per_class or drop the class") from error
    order = book.counts.argsort(descending=True, stable=True)
    return replace(
        book,
        centroids=book.centroids[order],
        weights=book.weights[order],
        counts=book.counts[order],
        medoids=book.medoids[order],
    )


def _file(folder: Path, label: int) -> Path:
    return folder / f"{label:05d}.safetensors"
