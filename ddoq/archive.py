"""The distilled archive: a zip that any tool reads as an image folder, the same bytes for the same config and seed."""

import csv
import hashlib
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from PIL import Image
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.utils.data import Dataset

from ddoq.config import DistillConfig
from ddoq.errors import ArchiveError
from ddoq.protocols import Protocol
from ddoq.stored_labels import FOLDER, ArchivedLabels

FORMAT = 2
NAME = "manifest.json"
SPLIT = "train"
METADATA = f"{SPLIT}/metadata.csv"
SOFT_LABELS = "soft_labels.safetensors"
UNSAFE = re.compile(r"[^\w ()+,=@.-]|^[. ]|[. ]$")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: no clock in the bytes

Member = bytes | Path | Callable[[], bytes]  # what is only made when its turn comes is never held beside the others


@with_config(ConfigDict(extra="forbid"))  # what is not understood would be trained otherwise than it says
@dataclass(frozen=True)
class Recipe:
    """How students were trained on the images: down to `deviation` as `ddoq.train` takes it, then in words for people.

    `n_images` are those by which epochs become steps. `resolution` is the side of the images that students see, in
    pixels. `seed` is the distillation's, of which each student has its own number. `mean` and `deviation` are of the
    real images' channels (0 to 1).
    """

    protocol: Protocol
    n_images: int
    n_classes: int
    resolution: int
    seed: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    networks: tuple[str, ...]
    loss: str
    optimizer: str
    schedule: str
    augmentation: str
    steps: int
    batch_size: int


@dataclass(frozen=True)
class ArchiveManifest:
    """Last member of the archive: what it is, and the SHA-256 of every other member."""

    format: int
    class_names: tuple[str, ...]
    recipe: Recipe
    members: Mapping[str, str]


@dataclass(frozen=True)
class _Format:
    """What the manifests of all formats have."""

    format: int


@dataclass(frozen=True)
class DistilledArchive:
    """A distilled set as loaded. `weights` are the training weights, mean one in each class.

    Where a teacher labelled them, `soft_labels` are its logits of each image, or `stored_labels` those of each view
    that students saw, to be read epoch by epoch while the file is there.
    """

    images: UInt8[Tensor, "m 3 h h"]
    labels: Int[Tensor, " m"]
    weights: Float[Tensor, " m"]
    class_names: tuple[str, ...]
    config: DistillConfig
    recipe: Recipe
    soft_labels: Float16[Tensor, "m c"] | None = None
    stored_labels: ArchivedLabels | None = None


class WeightedImages(Dataset[tuple[Tensor, int, float]]):
    """Yields (image, label, weight); images are float32 of shape (3, h, h) in [0, 1]."""

    def __init__(self, archive: DistilledArchive) -> None:
        self.archive = archive

    def __len__(self) -> int:
        return len(self.archive.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, float]:
        archive = self.archive
        return archive.images[index].float() / 255, int(archive.labels[index]), float(archive.weights[index])


def folder_names(class_names: Iterable[str]) -> tuple[str, ...]:
    """Name a folder for each class: readable, safe on every file system, distinct even where case does not count."""
    names: list[str] = []
    taken: set[str] = set()
    for class_name in class_names:
        folder = UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), class_name)
        while (blurred := unicodedata.normalize("NFC", folder).casefold()) in taken:
            folder += "~"
        taken.add(blurred)
        names.append(folder)
    return tuple(names)


def write_archive(
    file: Path, members: Mapping[str, Member], class_names: tuple[str, ...], recipe: Recipe
) -> Mapping[str, range]:
    """Write `members` in the order of their names, stored and without times; the manifest of checksums comes last.

    Returns:
        Which bytes of the file are those of each member.
    """
    sums, places = {}, {}
    with file.open("wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(members):
            data = _bytes_of(members[name])
            sums[name] = _store(archive, name, data)
            places[name] = range(stream.tell() - len(data), stream.tell())
        manifest = ArchiveManifest(FORMAT, class_names, recipe, sums)
        _store(archive, NAME, TypeAdapter(ArchiveManifest).dump_json(manifest, indent=1))
    return places


def load_archive(file: Path | str) -> DistilledArchive:
    """Load an archive after checking every member against the manifest.

    Raises:
        ArchiveError: not a distilled archive, or a member is missing, changed or added.
    """
    with open_archive(file) as (archive, manifest):
        rows = read_metadata(archive)
        images = [_read_image(archive, f"{SPLIT}/{row['file_name']}") for row in rows]
        soft = load(archive.read(SOFT_LABELS))["logits"] if SOFT_LABELS in manifest.members else None
        n_epochs = sum(name.startswith(f"{FOLDER}/") for name in manifest.members)
        config = DistillConfig.model_validate_json(archive.read("config.json"))
    return DistilledArchive(
        images=torch.stack(images),
        labels=torch.tensor([int(row["label"]) for row in rows]),
        weights=torch.tensor([float(row["weight"]) for row in rows]),
        class_names=manifest.class_names,
        config=config,
        recipe=manifest.recipe,
        soft_labels=soft,
        stored_labels=ArchivedLabels(Path(file), n_epochs) if n_epochs else None,
    )


@contextmanager
def open_archive(file: Path | str) -> Iterator[tuple[zipfile.ZipFile, ArchiveManifest]]:
    """Open an archive after checking every member against the manifest.

    Raises:
        ArchiveError: not a distilled archive, or a member is missing, changed or added; or what is read of it shows so.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _read_manifest(archive.read(NAME))
            _check_members(archive, manifest)
            yield archive, manifest
    except (zipfile.BadZipFile, KeyError, ValidationError, SafetensorError) as error:
        raise ArchiveError(f"{file} is not a distilled archive: {error}; download it again") from error


def read_metadata(archive: zipfile.ZipFile) -> list[dict[str, str]]:
    """Read what is known of each image, in their order."""
    return list(csv.DictReader(io.StringIO(archive.read(METADATA).decode())))


def _store(archive: zipfile.ZipFile, name: str, data: bytes) -> str:
    """Add one member; answer its SHA-256."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)
    return hashlib.sha256(data).hexdigest()


def _bytes_of(content: Member) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.read_bytes() if isinstance(content, Path) else content()


def _read_manifest(text: bytes) -> ArchiveManifest:
    found = TypeAdapter(_Format).validate_json(text).format
    if found != FORMAT:
        raise ArchiveError(f"archive format {found}; this version reads format {FORMAT}: distil the dataset again")
    return TypeAdapter(ArchiveManifest).validate_json(text)


def _check_members(archive: zipfile.ZipFile, manifest: ArchiveManifest) -> None:
    found = set(archive.namelist()) - {NAME}
    if odd := sorted(found ^ set(manifest.members)):
        raise ArchiveError(f"member {odd[0]!r} is missing from the archive or from its manifest; download it again")
    for name, checksum in manifest.members.items():
        if hashlib.sha256(archive.read(name)).hexdigest() != checksum:
            raise ArchiveError(f"member {name!r} does not match its checksum; download the archive again")


def _read_image(archive: zipfile.ZipFile, name: str) -> UInt8[Tensor, "3 h h"]:
    with Image.open(io.BytesIO(archive.read(name))) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
