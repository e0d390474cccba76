"""Stored soft labels: all that students are shown, and a teacher's logits of it, a safetensors file an epoch.

Every student meets the same epochs; only its start is its own. A file holds the batches of an epoch one after another:
`rows` of the images in the order of the archive, `views` as `ddoq.augment` draws them for images of `side` pixels,
`logits`, and the number of images in each batch, `sizes`. With CutMix there are the box of each batch, `boxes` (top,
left, and the first row and column behind it), and the row within the batch of each image's partner, `partners`.

Source: Shen & Xing, arXiv:2112.01528 (FKD), as in suduo94/D4M:matching/utils_fkd.py. The format is our own.
"""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float16, Int16, Int32
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from ddoq.augment import Mixing
from ddoq.errors import TeacherError
from ddoq.views import Draw

FOLDER = "soft_labels"  # in an archive


@dataclass(frozen=True)
class Epoch:
    """The batches of one epoch, and the labels of what they show."""

    side: Int16[Tensor, ""]
    sizes: Int32[Tensor, " b"]
    rows: Int32[Tensor, " n"]
    views: Float16[Tensor, "n k"]
    logits: Float16[Tensor, "n c"]
    boxes: Int16[Tensor, "b 4"] | None = None
    partners: Int16[Tensor, " n"] | None = None

    def steps(self) -> Iterator[tuple[Draw, Float16[Tensor, "b c"]]]:
        """Yield what each batch shows, and its labels."""
        sizes: list[int] = self.sizes.tolist()
        columns = (column.split(sizes) for column in (self.rows.long(), self.views, self.logits))
        for rows, views, logits, mixing in zip(*columns, self._mixings(sizes), strict=True):
            yield Draw(rows, views, mixing), logits

    def _mixings(self, sizes: Sequence[int]) -> Iterator[Mixing | None]:
        if self.boxes is None or self.partners is None:
            yield from [None] * len(sizes)
            return
        for box, partners in zip(self.boxes, self.partners.split(sizes), strict=True):
            yield Mixing(box.expand(len(partners), 4), partners, int(self.side))


class StoredLabels(ABC):
    """The stored soft labels of one training set, epoch by epoch, none of which is held."""

    @abstractmethod
    def __len__(self) -> int:
        """Epochs there are."""

    @abstractmethod
    def epoch(self, number: int) -> Epoch:
        """Read an epoch; the first is 0."""

    def epochs(self) -> Iterator[Epoch]:
        """Read one epoch after another."""
        return map(self.epoch, range(len(self)))

    def steps(self, n_steps: int, side: int) -> Iterator[tuple[Draw, Float16[Tensor, "b c"]]]:
        """Yield what is shown at each of `n_steps` steps, of images of `side` pixels, and its labels.

        Raises:
            TeacherError: there are labels for fewer steps, or for images of another side.
        """
        n_done = 0
        for epoch in self.epochs():
            if epoch.side != side:
                raise TeacherError(f"soft labels are stored for images of {int(epoch.side)} pixels; these have {side}")
            for step in epoch.steps():
                if n_done == n_steps:
                    return
                n_done += 1
                yield step
        if n_done < n_steps:
            raise TeacherError(f"soft labels are stored for {n_done} steps, not for {n_steps}; train for {n_done}")


@dataclass(frozen=True)
class FolderLabels(StoredLabels):
    """In a folder of files."""

    folder: Path

    def __len__(self) -> int:
        return len(list(self.folder.iterdir()))

    def epoch(self, number: int) -> Epoch:
        return Epoch(**load_file(self.file(number)))

    def file(self, number: int) -> Path:
        """Where an epoch lies."""
        return self.folder / file_name(number)


@dataclass(frozen=True)
class ArchivedLabels(StoredLabels):
    """In a distilled archive, at `file`; reading an epoch reads only its own member."""

    file: Path
    n_epochs: int

    def __len__(self) -> int:
        return self.n_epochs

    def epoch(self, number: int) -> Epoch:
        with zipfile.ZipFile(self.file) as archive:
            return _read_member(archive, number)

    def epochs(self) -> Iterator[Epoch]:
        with zipfile.ZipFile(self.file) as archive:  # once for all: it takes as long as there are members
            for number in range(self.n_epochs):
                yield _read_member(archive, number)


def file_name(number: int) -> str:
    """Name the file of an epoch."""
    return f"epoch-{number:04d}.safetensors"


def _read_member(archive: zipfile.ZipFile, number: int) -> Epoch:
    return Epoch(**load(archive.read(f"{FOLDER}/{file_name(number)}")))


def write_epoch(file: Path, steps: Sequence[tuple[Draw, Float16[Tensor, "_ c"]]], side: int) -> None:
    """Write what the batches of an epoch show of images of `side` pixels, and its labels; one box a batch."""
    draws, mixings = [draw for draw, _ in steps], [draw.mixing for draw, _ in steps if draw.mixing is not None]
    kept = {
        "side": torch.tensor(side, dtype=torch.int16),
        "sizes": torch.tensor([len(draw.rows) for draw in draws], dtype=torch.int32),
        "rows": torch.cat([draw.rows for draw in draws]).int(),
        "views": torch.cat([draw.views for draw in draws]),
        "logits": torch.cat([logits for _, logits in steps]),
    }
    if mixings:
        kept["boxes"] = torch.stack([mixing.boxes[0] for mixing in mixings])
        kept["partners"] = torch.cat([mixing.partners for mixing in mixings])
    save_file(kept, file)
