"""Latents on disk: a shard at a time in, by class out.

Latents stay in shards of bounded size, half precision, each sorted by class, so that one class can be gathered by
reading one slice of each shard and nothing else.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor

from ddoq.image_rules import BadImage
from ddoq.manifests import read_manifest
from ddoq.seeds import draw_numbers


@dataclass(frozen=True)
class Shard:
    """A file of latents sorted by class; `counts` are its rows in each class."""

    file: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LatentsManifest:
    """What the encode stage made of the training images.

    `mean` and `deviation` are those of the RGB channels (0 to 1) at the prior's resolution. `sizes` are the smallest
    and the largest (width, height) by area, as stored; `n_resized` images had other sides than the prior's resolution.
    `bad` names the first images that did not decode, out of `n_bad`. `smaller_batch` is the size to which batches had
    to shrink for want of memory, if they had. `n_bytes` are those of the others' files.
    """

    dimension: int
    counts: tuple[int, ...]
    shards: tuple[Shard, ...]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    n_resized: int
    n_bad: int
    bad: tuple[BadImage, ...]
    smaller_batch: int | None = None
    n_bytes: int = 0


@dataclass(frozen=True)
class Latents:
    """The latents of a complete encode stage."""

    folder: Path
    manifest: LatentsManifest

    def of_class(self, label: int) -> Float[Tensor, "n d"]:
        """Gather the latents of one class, in the order of the shards."""
        return torch.cat([self._nothing, *self.stream_class(label)])

    def stream_class(self, label: int) -> Iterator[Float[Tensor, "b d"]]:
        """Read the latents of one class a shard at a time."""
        for shard in self._shards_of(label):
            with safe_open(self.folder / shard.file, framework="pt") as file:
                yield file.get_slice("latents")[_rows(shard, label)].float()

    def rows_of_class(self, label: int, rows: Int[Tensor, " m"]) -> Float[Tensor, "m d"]:
        """Gather some rows of one class, in rising order, while no more than a shard of it is in memory."""
        first, parts = 0, [self._nothing]
        for z in self.stream_class(label):
            parts.append(z[rows[(rows >= first) & (rows < first + len(z))].sort().values - first])
            first += len(z)
        return torch.cat(parts)

    def draw_of_class(self, label: int, n_rows: int, rng: Generator) -> Float[Tensor, "m d"]:
        """Draw `n_rows` rows of one class without replacement, in their order; all of them if there are no more."""
        return self.rows_of_class(label, draw_numbers(self.manifest.counts[label], n_rows, rng))

    def size_bytes(self, label: int) -> int:
        """Bytes of one class in single precision."""
        return 4 * self.manifest.counts[label] * self.manifest.dimension

    def keys(self, label: int) -> list[str]:
        """Dataset keys of the rows that `of_class` returns."""
        keys: list[str] = []
        for shard in self._shards_of(label):
            keys += json.loads((self.folder / shard.file).with_suffix(".keys.json").read_text())[_rows(shard, label)]
        return keys

    @property
    def _nothing(self) -> Float[Tensor, "0 d"]:
        return torch.empty(0, self.manifest.dimension)

    def _shards_of(self, label: int) -> Iterator[Shard]:
        """Those with any of a class: most datasets are in the order of their classes."""
        return (shard for shard in self.manifest.shards if shard.counts[label])


def open_latents(folder: Path) -> Latents:
    """Open what the encode stage wrote."""
    return Latents(folder, read_manifest(folder, LatentsManifest))


def write_shard(
    file: Path, latents: Float[Tensor, "n d"], keys: Sequence[str], labels: Sequence[int], n_classes: int
) -> Shard:
    """Write latents of any classes, with their keys beside them, sorted by class and otherwise in their order."""
    of_rows = torch.tensor(labels, dtype=torch.int64)
    order = of_rows.argsort(stable=True)
    save_file({"latents": latents.half()[order], "labels": of_rows[order]}, file)
    file.with_suffix(".keys.json").write_text(json.dumps([keys[row] for row in order.tolist()]))
    return Shard(file.name, tuple(of_rows.bincount(minlength=n_classes).tolist()))


def _rows(shard: Shard, label: int) -> slice:
    first = sum(shard.counts[:label])
    return slice(first, first + shard.counts[label])
