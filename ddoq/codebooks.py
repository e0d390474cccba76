"""Latents on disk -> a codebook for each class on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from safetensors.torch import load_file, save_file

from ddoq.clvq import quantize_stream
from ddoq.config import DistillConfig
from ddoq.errors import EmptyClassError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import Latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.quantize import quantize_classes
from ddoq.seeds import stream
from ddoq.types import Codebook

STREAM_BYTES = 4 * 2**30  # of single-precision rows: a class beyond is not held in memory
STREAM_ROWS = 10  # a codeword, in each batch of a stream
TENSORS = ("centroids", "weights", "counts", "medoids", "cells")


@dataclass(frozen=True)
class ClassEntry:
    """One class: mean squared distortion, passes, whether no row can move, and the keys of the medoids' images."""

    distortion: float
    iterations: int
    is_fixed_point: bool
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
            **load_file(_file(self.folder, label)),
            distortion=entry.distortion,
            iterations=entry.iterations,
            is_fixed_point=entry.is_fixed_point,
        )


def open_codebooks(folder: Path) -> Codebooks:
    """Open what `quantize_all` wrote."""
    return Codebooks(folder, read_manifest(folder, CodebooksManifest))


def quantize_all(
    latents: Latents, class_names: tuple[str, ...], config: DistillConfig, folder: Path, on_event: OnEvent
) -> Codebooks:
    """Quantize every class, a few at a time in memory, and write the codebooks into `folder`, the manifest last.

    Raises:
        EmptyClassError: a class has fewer distinct images than `images_per_class`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    books = _quantize_each(latents, config)
    entries = []
    for label, name in enumerate(class_names):
        book = _heaviest_first(_next_of(books, name))
        keys = latents.keys(label)
        medoids = tuple(keys[row] for row in book.medoids)
        entries.append(ClassEntry(book.distortion, book.iterations, book.is_fixed_point, medoids))
        save_file({part: getattr(book, part) for part in TENSORS}, _file(folder, label))
        on_event(Event(Stage.QUANTIZE, label + 1, len(class_names), {"distortion": book.distortion}))
    manifest = CodebooksManifest(tuple(entries))
    write_manifest(folder, manifest)
    return Codebooks(folder, manifest)


def _quantize_each(latents: Latents, config: DistillConfig) -> Iterator[Codebook]:
    """Quantize the classes in order; one that is too large to be held is taken as a stream."""
    k = config.images_per_class
    labels = range(len(latents.manifest.counts))
    for is_large, together in groupby(labels, lambda label: latents.size_bytes(label) > STREAM_BYTES):
        draws = ((label, stream(config.seed, "quantize", label)) for label in together)
        if is_large:
            yield from (
                quantize_stream(partial(latents.stream_class, label), k, STREAM_ROWS * k, rng) for label, rng in draws
            )
        else:
            yield from quantize_classes(((latents.of_class(label), rng) for label, rng in draws), k, config.quantizer)


def _next_of(books: Iterator[Codebook], name: str) -> Codebook:
    try:
        return next(books)
    except EmptyClassError as error:
        raise EmptyClassError(f"class {name!r} has {error}; lower images_per_class or drop the class") from error


def _heaviest_first(book: Codebook) -> Codebook:
    """Number the codewords by falling count."""
    order = book.counts.argsort(descending=True, stable=True)
    parts = {part: getattr(book, part)[order] for part in ("centroids", "weights", "counts", "medoids")}
    return replace(book, **parts, cells=order.argsort()[book.cells])


def _file(folder: Path, label: int) -> Path:
    return folder / f"{label:05d}.safetensors"
