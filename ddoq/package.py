"""Everything the earlier stages left -> the archive, and beside it what a person wants to see without unpacking."""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import UInt8
from jinja2 import Environment, StrictUndefined
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import Tensor

from ddoq.archive import METADATA, SOFT_LABELS, SPLIT, Member, Recipe, folder_names, write_archive
from ddoq.citations import bibtex, in_words
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.environments import PROVENANCE, Provenance, provenance_json
from ddoq.events import Event, OnEvent, Stage
from ddoq.generate import Images
from ddoq.image_index import ImageIndex, IndexedClass
from ddoq.images import contact_sheet
from ddoq.labels import SoftLabels
from ddoq.manifests import write_manifest
from ddoq.provenance import how_made, of_each_class
from ddoq.report import accuracy_table, report_html, report_json
from ddoq.report_plots import draw_plots
from ddoq.stored_labels import FOLDER, FolderLabels
from ddoq.types import Report, SoftLabel
from ddoq.weights import training_weights

ARCHIVE, INDEX = "archive.zip", "images.json"
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
    """What the package stage offers: of each budget the archive, then what is shown beside it."""

    files: tuple[PackedFile, ...]


@dataclass(frozen=True)
class Contents:
    """What goes into the archive of one budget."""

    config: DistillConfig
    class_names: tuple[str, ...]
    books: Codebooks
    images: Images
    report: Report
    recipe: Recipe
    provenance: Provenance
    soft_labels: SoftLabels | None = None


def package_all(contents: Sequence[Contents], folder: Path, on_event: OnEvent) -> PackageManifest:
    """Write the archive of each budget, its report, plots and an overview of the images; the manifest comes last.

    All files lie side by side in `folder`; where there are several budgets, names begin with theirs, as in
    `ipc-10-archive.zip`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packed: list[PackedFile] = []
    for index, one in enumerate(contents):
        packed += _package(one, folder, f"{one.books.budget.name}-" if len(contents) > 1 else "")
        on_event(Event(Stage.PACKAGE, index + 1, len(contents)))
    manifest = PackageManifest(tuple(packed))
    write_manifest(folder, manifest)
    return manifest


def _package(contents: Contents, folder: Path, prefix: str) -> Iterator[PackedFile]:
    """Write what there is for one budget; of all names in `folder`, none in the archive, begin with `prefix`."""
    shown, archive = _shown(contents), folder / f"{prefix}{ARCHIVE}"
    members: dict[str, Member] = {**shown, **_data(contents), **dict(_pictures(contents))}
    members["README.md"] = _card(contents, archive.name)
    places = write_archive(archive, members, contents.class_names, contents.recipe)
    yield _packed(archive)
    index = folder / f"{prefix}{INDEX}"
    index.write_bytes(TypeAdapter(ImageIndex).dump_json(_index(contents, archive.name, places)))
    yield _packed(index)
    for name in sorted(shown):
        file = folder / f"{prefix}{name}"
        file.write_bytes(shown[name])
        yield _packed(file)


def _shown(contents: Contents) -> Mapping[str, bytes]:
    """What is offered beside the archive as well as in it."""
    overview, plots = _overview(contents), draw_plots(contents.report)
    report, config, budget = contents.report, contents.config, contents.books.budget
    return {
        "report.json": report_json(report, config, budget).encode(),
        "report.html": report_html(report, config, budget, overview, plots).encode(),
        **{name: plot.encode() for name, plot in plots.items()},
        "overview.png": overview,
        PROVENANCE: provenance_json(contents.provenance),
    }


def _data(contents: Contents) -> Mapping[str, Member]:
    return {
        METADATA: _metadata(contents),
        "codebook.safetensors": _codebook(contents),
        "config.json": contents.config.model_dump_json(indent=1).encode(),
        **(_label_members(contents.soft_labels.distilled) if contents.soft_labels else {}),
        "citations.bib": bibtex(contents.report.citations).encode(),
    }


def _label_members(labels: SoftLabel) -> Mapping[str, Member]:
    """Fixed labels in one member, stored ones in one an epoch, which is read when its turn comes."""
    if isinstance(labels, Tensor):
        return {SOFT_LABELS: save({"logits": labels})}
    files = [labels.file(number) for number in range(len(labels))] if isinstance(labels, FolderLabels) else []
    return {f"{FOLDER}/{file.name}": file for file in files}


def _pictures(contents: Contents) -> Iterator[tuple[str, Member]]:
    """The distilled images, and a contact sheet for each class."""
    for label, folder in enumerate(folder_names(contents.class_names)):
        yield f"contact-sheets/{folder}.png", partial(_contact_sheet, contents, label)
        for codeword in range(contents.images.manifest.counts[label]):
            yield _member(folder, codeword), contents.images.file(label, codeword)


def _index(contents: Contents, archive: str, places: Mapping[str, range]) -> ImageIndex:
    """Say where the images lie in the archive."""
    classes = []
    for label, folder in enumerate(folder_names(contents.class_names)):
        name, counts = contents.class_names[label], contents.images.manifest.counts
        own = [places[_member(folder, codeword)] for codeword in range(counts[label])]
        shares = contents.report.weights[name]
        classes.append(IndexedClass(name, shares, tuple(place.start for place in own), tuple(map(len, own))))
    return ImageIndex(archive, contents.images.manifest.resolution, tuple(classes))


def _member(folder: str, codeword: int) -> str:
    return f"{SPLIT}/{folder}/{codeword:04d}.png"


def _contact_sheet(contents: Contents, label: int) -> bytes:
    weights = contents.report.weights[contents.class_names[label]]
    captions = [f"{codeword}: {weight:.1%}" for codeword, weight in enumerate(weights)]
    return contact_sheet(contents.images.of_class(label, contents.images.manifest.resolution), captions)


def _overview(contents: Contents) -> bytes:
    """The heaviest images of the first classes, a class a row, white where a class has fewer than others."""
    side = min(contents.images.manifest.resolution, SHEET_SIDE)
    names = contents.class_names[:OVERVIEW_CLASSES]
    rows = [contents.images.of_class(label, side)[:OVERVIEW_IMAGES] for label in range(len(names))]
    columns = max(map(len, rows))
    captions = [caption for name, row in zip(names, rows, strict=True) for caption in _filled(name, len(row), columns)]
    return contact_sheet(torch.cat([_widened(row, columns) for row in rows]), captions, columns)


def _filled(name: str, n: int, columns: int) -> list[str]:
    return [name] * n + [""] * (columns - n)


def _widened(row: UInt8[Tensor, "k 3 h h"], columns: int) -> UInt8[Tensor, "m 3 h h"]:
    return torch.cat([row, row.new_full((columns - len(row), *row.shape[1:]), 255)])


def _metadata(contents: Contents) -> bytes:
    """One line an image, in the columns that image-folder readers expect.

    Nine digits give a weight back to the bit, and so the students that were trained by it.
    `nearest` is the key of the training image nearest to the codeword: the image itself, where real ones are shown.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file_name", "label", "class", "weight", "count", "codeword", "nearest"))
    for label, folder in enumerate(folder_names(contents.class_names)):
        counts = contents.books.of_class(label).counts
        weights = training_weights(counts, contents.config.parts.weights)
        nearest = contents.books.manifest.classes[label].medoids
        columns = zip(weights.tolist(), counts.tolist(), nearest, strict=True)
        for codeword, (weight, count, key) in enumerate(columns):
            file_name = f"{folder}/{codeword:04d}.png"
            table.writerow((file_name, label, contents.class_names[label], f"{weight:.9g}", count, codeword, key))
    return text.getvalue().encode()


def _codebook(contents: Contents) -> bytes:
    """All codebooks in one file, class after class: centroids, Voronoi masses, counts, labels."""
    books = [contents.books.of_class(label) for label in range(len(contents.class_names))]
    return save(
        {
            "centroids": torch.cat([book.centroids for book in books]),
            "weights": torch.cat([book.weights for book in books]),
            "counts": torch.cat([book.counts for book in books]),
            "labels": torch.arange(len(books)).repeat_interleave(torch.tensor([len(book.counts) for book in books])),
        }
    )


def _card(contents: Contents, archive_name: str) -> bytes:
    """The dataset card; `archive_name` is what the archive is downloaded as."""
    template = files("ddoq").joinpath("card.md.jinja").read_text("utf-8")
    # Markdown, not HTML.
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701  # nosec B701
    environment.filters["line"] = _line
    budget, report = contents.books.budget, contents.report
    card = environment.from_string(template).render(
        archive_name=archive_name,
        canvas=contents.config.parts.canvas,
        teacher=contents.config.teacher,
        labels=contents.config.resolved_protocol.labels,
        temperature=contents.config.resolved_protocol.temperature,
        n_images=sum(budget.counts),
        n_classes=len(budget.counts),
        of_each_class=of_each_class(budget),
        side=contents.images.manifest.resolution,
        made=how_made(contents.config, budget, report.figures),
        recipe=contents.recipe,
        table=accuracy_table(report),
        is_evaluated=bool(report.accuracy),
        remarks=report.remarks,
        citations=[(citation.used_for, in_words(citation)) for citation in report.citations],
    )
    return card.encode()


def _line(text: str) -> str:
    """Bring foreign text into one line of Markdown, or one cell of its tables, without tags of its own."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def _packed(file: Path) -> PackedFile:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return PackedFile(file.name, file.stat().st_size, digest, MEDIA_TYPES[file.suffix])
