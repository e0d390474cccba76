"""The images of an archive, as a notebook shows them: class by class, the heaviest first."""

import csv
import io
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from ddoq_client.downloads import download
from ddoq_client.errors import ArchiveError, ArtifactError
from ddoq_client.jobs import artifacts
from ddoq_client.steps import Flow, work

ARCHIVE = "archive.zip"
METADATA, OVERVIEW, SPLIT = "train/metadata.csv", "overview.png", "train"
MOST_CLASSES, MOST_IMAGES = 20, 20
MOST_IMAGE_BYTES, MOST_METADATA_BYTES = 1 << 22, 1 << 26
PNG = b"\x89PNG\r\n\x1a\n"
SIDE = "96px"


@dataclass(frozen=True)
class WeightedImage:
    """A distilled image, as PNG, and the factor of its loss in training."""

    png: bytes = field(repr=False)
    weight: float


@dataclass(frozen=True)
class ShownClass:
    """A class: how many images it has, and the heaviest of them."""

    name: str
    n_images: int
    images: tuple[WeightedImage, ...] = field(repr=False)


@dataclass(frozen=True)
class ContactSheet:
    """What an archive holds, as a picture: the first classes, and of each the heaviest images."""

    classes: tuple[ShownClass, ...]
    n_classes: int
    overview: bytes | None = field(repr=False)

    def _repr_html_(self) -> str:
        """Show it in a notebook, with nothing from anywhere else."""
        left = self.n_classes - len(self.classes)
        more = f"<p>and {left} more classes</p>" if left else ""
        return f"<div>{''.join(map(_class_html, self.classes))}{more}</div>"

    def _repr_png_(self) -> bytes | None:
        """Show the overview that the archive holds, where no HTML is shown."""
        return self.overview


def read_sheet(path: Path) -> ContactSheet:
    """Read the images of an archive on this machine.

    Raises:
        ArchiveError: it is damaged, or larger than is sensible.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            rows = _rows(archive)
            shown = tuple(_read_class(archive, name, of_class) for name, of_class in islice(rows.items(), MOST_CLASSES))
            overview = _read_png(archive, OVERVIEW) if OVERVIEW in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, csv.Error, EOFError) as error:
        raise ArchiveError(f"{path} is no undamaged archive of distilled images ({error})") from error
    return ContactSheet(shown, len(rows), overview)


def sheet_of_job(job_id: str, name: str | None) -> Flow[ContactSheet]:
    """Download an archive of a job for the time of reading its images; the first one if none is named.

    Raises:
        ArtifactError: the job has none.
    """
    with TemporaryDirectory(prefix="ddoq-") as folder:
        there = [one.name for one in (yield from artifacts(job_id)) if one.name.endswith(ARCHIVE)]
        if not there:
            raise ArtifactError(f"job {job_id} has no archive; it comes with the job's last stage")
        (path,) = yield from download(job_id, Path(folder), [name or there[0]])
        return (yield from work(lambda: read_sheet(path)))


def _rows(archive: zipfile.ZipFile) -> Mapping[str, list[tuple[float, str]]]:
    """Read weight and file of each image by class, classes in label order."""
    table = csv.DictReader(io.StringIO(_read(archive, METADATA, MOST_METADATA_BYTES).decode()), restval="")
    by_label: dict[int, tuple[str, list[tuple[float, str]]]] = {}
    for row in table:
        _, of_class = by_label.setdefault(int(row["label"]), (row["class"], []))
        of_class.append((float(row["weight"]), row["file_name"]))
    return {by_label[label][0]: by_label[label][1] for label in sorted(by_label)}


def _read_class(archive: zipfile.ZipFile, name: str, rows: list[tuple[float, str]]) -> ShownClass:
    heaviest = sorted(rows, key=lambda row: (-row[0], row[1]))[:MOST_IMAGES]
    images = (WeightedImage(_read_png(archive, f"{SPLIT}/{file}"), weight) for weight, file in heaviest)
    return ShownClass(name, len(rows), tuple(images))


def _read_png(archive: zipfile.ZipFile, name: str) -> bytes:
    content = _read(archive, name, MOST_IMAGE_BYTES)
    if not content.startswith(PNG):
        raise ValueError(f"{name} is no PNG")
    return content


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as member:
        content = member.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{name} has more than {most_bytes} bytes")
    return content


def _class_html(shown: ShownClass) -> str:
    return (
        f"<h4>{escape(shown.name)} <small>({len(shown.images)} of {shown.n_images} images, heaviest first)</small></h4>"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(_figures(shown))}</div>'
    )


def _figures(shown: ShownClass) -> Iterator[str]:
    for image in shown.images:
        source = f"data:image/png;base64,{b64encode(image.png).decode()}"
        yield (
            f'<figure style="margin:0"><img src="{source}" alt="{escape(shown.name)}, weight {image.weight:.2f}"'
            f' style="width:{SIDE};image-rendering:pixelated">'
            f"<figcaption>{image.weight:.2f}</figcaption></figure>"
        )
