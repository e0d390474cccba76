"""Everything the earlier stages left -> the archive, and beside it what a person wants to see without unpacking."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from jinja2 import Environment, StrictUndefined
from safetensors.torch import save

from ddoq.archive import METADATA, SPLIT, Recipe, folder_names, write_archive
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.events import Event, OnEvent, Stage
from ddoq.generate import Images
from ddoq.images import contact_sheet
from ddoq.manifests import write_manifest
from ddoq.plots import accuracy_bars, distortion_bars, weight_strip
from ddoq.report import accuracy_table, report_html, report_json
from ddoq.types import Report
from ddoq.weights import training_weights

OVERVIEW_CLASSES, OVERVIEW_IMAGES = 10, 10
SHEET_SIDE = 128

MEDIA_TYPES = {
    ".zip": "application/zip",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


@dataclass(frozen=True)
class PackedFile:
    """A file that the package stage offers, by its name in the stage's folder."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True)
class PackageManifest:
    """What the package stage offers; the first file is the archive."""

    files: tuple[PackedFile, ...]


@dataclass(frozen=True)
class Contents:
    """What goes into the archive."""

    config: DistillConfig
    class_names: tuple[str, ...]
    books: Codebooks
    images: Images
    report: Report
    recipe: Recipe


def package(contents: Contents, folder: Path, on_event: OnEvent) -> PackageManifest:
    """Write the archive, the report, its plots and an overview of the images into `folder`, the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = _shown(contents)
    members: dict[str, bytes | Path] = {**shown, **_data(contents), **dict(_pictures(contents))}
    members["README.md"] = _card(contents)
    write_archive(folder / "archive.zip", members, contents.class_names, contents.recipe)
    for name, data in shown.items():
        (folder / name).write_bytes(data)
    manifest = PackageManifest(tuple(_packed(folder / name) for name in ("archive.zip", *sorted(shown))))
    write_manifest(folder, manifest)
    on_event(Event(Stage.PACKAGE, 1, 1))
    return manifest


def _shown(contents: Contents) -> Mapping[str, bytes]:
    """What is offered beside the archive as well as in it."""
    overview = _overview(contents)
    report, config = contents.report, contents.config
    return {
        "report.json": report_json(report, config).encode(),
        "report.html": report_html(report, config, overview).encode(),
        "accuracy.svg": accuracy_bars(report.accuracy, 1 / len(contents.class_names)).encode(),
        "weights.svg": weight_strip(report.weights).encode(),
        "distortion.svg": distortion_bars(report.distortion).encode(),
        "overview.png": overview,
    }


def _data(contents: Contents) -> Mapping[str, bytes]:
    return {
        METADATA: _metadata(contents),
        "codebook.safetensors": _codebook(contents),
        "config.json": contents.config.model_dump_json(indent=1).encode(),
    }


def _pictures(contents: Contents) -> Iterator[tuple[str, bytes | Path]]:
    """The distilled images, and a contact sheet for each class."""
    side = contents.images.manifest.resolution
    for label, folder in enumerate(folder_names(contents.class_names)):
        weights = contents.report.weights[contents.class_names[label]]
        captions = [f"{codeword}: {weight:.1%}" for codeword, weight in enumerate(weights)]
        yield f"contact-sheets/{folder}.png", contact_sheet(contents.images.of_class(label, side), captions)
        for codeword in range(len(weights)):
            yield f"{SPLIT}/{folder}/{codeword:04d}.png", contents.images.file(label, codeword)


def _overview(contents: Contents) -> bytes:
    """The heaviest images of the first classes, a class a row."""
    side = min(contents.images.manifest.resolution, SHEET_SIDE)
    names = contents.class_names[:OVERVIEW_CLASSES]
    rows = [contents.images.of_class(label, side)[:OVERVIEW_IMAGES] for label in range(len(names))]
    captions = [name for name, row in zip(names, rows, strict=True) for _ in row]
    return contact_sheet(torch.cat(rows), captions, columns=len(rows[0]))


def _metadata(contents: Contents) -> bytes:
    """One line an image, in the columns that image-folder readers expect."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file_name", "label", "class", "weight", "count", "codeword"))
    for label, folder in enumerate(folder_names(contents.class_names)):
        counts = contents.books.of_class(label).counts
        weights = training_weights(counts, contents.config.weights)
        for codeword, (weight, count) in enumerate(zip(weights.tolist(), counts.tolist(), strict=True)):
            file_name = f"{folder}/{codeword:04d}.png"
            table.writerow((file_name, label, contents.class_names[label], f"{weight:.6g}", count, codeword))
    return text.getvalue().encode()


def _codebook(contents: Contents) -> bytes:
    """All codebooks in one file, class after class: centroids, Voronoi masses, counts, labels."""
    books = [contents.books.of_class(label) for label in range(len(contents.class_names))]
    return save(
        {
            "centroids": torch.cat([book.centroids for book in books]),
            "weights": torch.cat([book.weights for book in books]),
            "counts": torch.cat([book.counts for book in books]),
            "labels": torch.arange(len(books)).repeat_interleave(contents.config.images_per_class),
        }
    )


def _card(contents: Contents) -> bytes:
    """The dataset card."""
    template = files("ddoq").joinpath("card.md.jinja").read_text()
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701  Markdown
    n_images = len(contents.class_names) * contents.config.images_per_class
    card = environment.from_string(template).render(
        config=contents.config,
        class_names=contents.class_names,
        n_images=n_images,
        side=contents.images.manifest.resolution,
        recipe=contents.recipe,
        table=accuracy_table(contents.report),
        remarks=contents.report.remarks,
    )
    return card.encode()


def _packed(file: Path) -> PackedFile:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return PackedFile(file.name, file.stat().st_size, digest, MEDIA_TYPES[file.suffix])
