"""What is reduced, and what becomes of a class that memory has no room for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch

from ddoq.config import DistillConfig
from ddoq.latents import Latents
from ddoq.methods import ReducerName
from ddoq.reducers import STREAM_ROWS, ClassRows

STREAM_BYTES = 4 * 2**30  # of single-precision rows: a class beyond is not held in memory

# What a reducer does otherwise with a class that memory has no room for.
REMARKS: Mapping[ReducerName, str] = MappingProxyType(
    {
        "centroid": "too large for memory: centroids learnt in a single pass",
        "medoid": "too large for memory: medoids of centroids learnt in a single pass",
        "herding": "too large for memory: chosen among {n_pool} of {n_rows} images, drawn at random",
        "k-centre": "too large for memory: chosen among {n_pool} of {n_rows} images, drawn at random",
    }
)


@dataclass(frozen=True)
class Reduction:
    """What is reduced, and how; where memory was too short before, with less of it, halved `halvings` times."""

    latents: Latents
    class_names: tuple[str, ...]
    config: DistillConfig
    halvings: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Images of each class."""
        return self.latents.manifest.counts

    @property
    def n_threads(self) -> int:
        """Classes to be reduced at once."""
        return max(1, torch.get_num_threads() >> self.halvings)

    @property
    def stream_bytes(self) -> int:
        """Bytes of a class in single precision beyond which it is not held in memory."""
        return STREAM_BYTES >> self.halvings

    def is_held(self, label: int) -> bool:
        """Whether a class is taken into memory whole."""
        return self.latents.size_bytes(label) <= self.stream_bytes and self.config.parts.reducer != "clvq"

    def n_pool(self, label: int, most: int) -> int:
        """Rows of a class that is not held, of which up to `most` are chosen: as many as memory has room for."""
        room = self.stream_bytes // (4 * self.latents.manifest.dimension)
        return min(self.counts[label], max(room, STREAM_ROWS * most))

    def rows(self, label: int, most: int) -> ClassRows:
        """Open a class of which up to `most` codewords are wanted."""
        if self.is_held(label):
            return ClassRows.of(self.latents.of_class(label))
        batches = partial(self.latents.stream_class, label)
        return ClassRows(batches, self.counts[label], self.n_pool(label, most), None)

    def remark(self, label: int, most: int) -> str:
        """Say what is done otherwise with a class that is not held."""
        if self.is_held(label):
            return ""
        n_pool, n_rows = self.n_pool(label, most), self.counts[label]
        return REMARKS.get(self.config.parts.reducer, "").format(n_pool=n_pool, n_rows=n_rows)
