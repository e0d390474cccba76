"""Samples -> latents on disk, and back by class.

Latents stay in shards of bounded size, half precision, each sorted by class, so that one class can be gathered by
reading one slice of each shard and nothing else.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor

from ddoq.batches import in_batches
from ddoq.config import DistillConfig
from ddoq.datasets import BadImage, Dataset
from ddoq.errors import BadImagesError, NotFiniteError
from ddoq.events import Event, OnEvent, Stage
from ddoq.manifests import read_manifest, write_manifest
from ddoq.prior import LatentPrior
from ddoq.prior_config import PixelsPrior
from ddoq.seeds import draw_numbers, stream
from ddoq.types import Sample

SHARD_BYTES = 16 * 2**20
NAMED_BAD_IMAGES = 20


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
        return torch.cat(list(self.stream_class(label)))

    def stream_class(self, label: int) -> Iterator[Float[Tensor, "b d"]]:
        """Read the latents of one class a shard at a time."""
        for shard in self.manifest.shards:
            with safe_open(self.folder / shard.file, framework="pt") as file:
                yield file.get_slice("latents")[_rows(shard, label)].float()

    def rows_of_class(self, label: int, rows: Int[Tensor, " m"]) -> Float[Tensor, "m d"]:
        """Gather some rows of one class, in rising order, while no more than a shard of it is in memory."""
        first, parts = 0, list[Tensor]()
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
        for shard in self.manifest.shards:
            keys += json.loads((self.folder / shard.file).with_suffix(".keys.json").read_text())[_rows(shard, label)]
        return keys


def open_latents(folder: Path) -> Latents:
    """Open what `encode` wrote."""
    return Latents(folder, read_manifest(folder, LatentsManifest))


def encode(dataset: Dataset, prior: LatentPrior, config: DistillConfig, folder: Path, on_event: OnEvent) -> Latents:
    """Encode every training image and write the latents into `folder`, the manifest last.

    Memory does not grow with the number of images: samples stream and a shard is written when it is full. A batch that
    the device's memory does not hold is halved; that changes no latent beyond rounding.

    Raises:
        BadImagesError: more than the config's share of the training images do not decode.
        NotFiniteError: the prior makes NaN or infinity of an image.
        OutOfMemoryError: the device's memory does not hold the work on one image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(dataset.counts["train"])
    bad = BadImages(config.dataset.max_bad_share, total)
    summary = Summary(prior.resolution)
    writer = ShardWriter(folder, len(dataset.class_names))

    def on_smaller(size: int) -> None:
        summary.smaller_batch = size
        on_event(Event(Stage.ENCODE, summary.n_images + len(bad.noted), total, {"batch_size": size}))

    samples = dataset.samples("train", prior.resolution, bad.note)
    for batch, (images, z) in in_batches(samples, prior.batch_size, _encoder(prior, config), on_smaller):
        writer.add(z, batch)
        summary.add(images, batch)
        on_event(Event(Stage.ENCODE, summary.n_images + len(bad.noted), total))
    manifest = writer.close(summary, bad)
    write_manifest(folder, manifest)
    return Latents(folder, manifest)


def _encoder(prior: LatentPrior, config: DistillConfig) -> Callable[[Sequence[Sample]], tuple[Tensor, Tensor]]:
    """Make what maps samples to their images and latents."""
    sampled = not isinstance(config.prior, PixelsPrior) and config.prior.latents == "sample"

    def encoded(batch: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        images = torch.stack([sample.image for sample in batch])
        rngs = [stream(config.seed, "posterior", sample.key) for sample in batch] if sampled else None
        z = prior.encode(images, rngs)
        if not bool(torch.isfinite(z).all()):
            raise NotFiniteError(f"latents of {batch[0].key!r} or its neighbours are not finite; use another prior")
        return images, z

    return encoded


class BadImages:
    """Counts the images that do not decode and stops when there are too many."""

    def __init__(self, max_share: float, n_images: int) -> None:
        self.max_share = max_share
        self.n_images = n_images
        self.noted: list[BadImage] = []

    def note(self, image: BadImage) -> None:
        """Count one more."""
        self.noted.append(image)
        if len(self.noted) > self.max_share * self.n_images:
            raise BadImagesError(
                f"{len(self.noted)} of {self.n_images} images do not decode, more than dataset.max_bad_share = "
                f"{self.max_share:g} allows; the last is {image.key!r}: {image.reason}. Mend them or raise the share"
            )


@dataclass
class Summary:
    """Running figures of the images that went by; `levels` counts the 256 values of each channel, so sums are exact."""

    resolution: int
    n_images: int = 0
    n_resized: int = 0
    n_bytes: int = 0
    smaller_batch: int | None = None
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    levels: Int[Tensor, "3 256"] = field(default_factory=lambda: torch.zeros(3, 256, dtype=torch.int64))

    def add(self, images: Tensor, batch: Sequence[Sample]) -> None:
        """Take in a batch, as it is stored and as the encoder sees it."""
        self.levels += torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)])
        self.n_images += len(batch)
        self.n_bytes += sum(sample.n_bytes for sample in batch)
        for size in (sample.size for sample in batch):
            self.n_resized += size != (self.resolution, self.resolution)
            self.smallest = min(self.smallest or size, size, key=_area)
            self.largest = max(self.largest or size, size, key=_area)

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of each channel, 0 to 1."""
        red, green, blue = self._moment(1).tolist()
        return red, green, blue

    @property
    def deviation(self) -> tuple[float, float, float]:
        """Of each channel over all pixels; never zero, since it is divided by."""
        variance = self._moment(2) - self._moment(1).square()
        red, green, blue = variance.clamp(min=1e-6).sqrt().tolist()
        return red, green, blue

    def _moment(self, power: int) -> Float[Tensor, " 3"]:
        values = torch.linspace(0, 1, 256, dtype=torch.float64)
        return self.levels.double() @ values**power / self.levels.sum(dim=1)


class ShardWriter:
    """Collects latents and writes them, a bounded shard at a time."""

    def __init__(self, folder: Path, n_classes: int) -> None:
        self.folder = folder
        self.n_classes = n_classes
        self.shards: list[Shard] = []
        self.latents: list[Tensor] = []
        self.keys: list[str] = []
        self.labels: list[int] = []
        self.dimension = 0

    def add(self, z: Float[Tensor, "b d"], batch: Sequence[Sample]) -> None:
        """Take in a batch; write a shard when enough has come together."""
        self.dimension = z.shape[1]
        self.latents.append(z.half())
        self.keys += [sample.key for sample in batch]
        self.labels += [sample.label for sample in batch]
        if len(self.keys) * self.dimension * 2 >= SHARD_BYTES:
            self._flush()

    def close(self, summary: Summary, bad: BadImages) -> LatentsManifest:
        """Write what is left and say what there is."""
        if self.keys:
            self._flush()
        counts = torch.tensor([shard.counts for shard in self.shards]).sum(dim=0).tolist()
        nothing = (0, 0)
        return LatentsManifest(
            dimension=self.dimension,
            counts=tuple(counts),
            shards=tuple(self.shards),
            mean=summary.mean,
            deviation=summary.deviation,
            sizes=(summary.smallest or nothing, summary.largest or nothing),
            n_resized=summary.n_resized,
            n_bad=len(bad.noted),
            bad=tuple(bad.noted[:NAMED_BAD_IMAGES]),
            smaller_batch=summary.smaller_batch,
            n_bytes=summary.n_bytes,
        )

    def _flush(self) -> None:
        labels = torch.tensor(self.labels)
        order = labels.argsort(stable=True)
        file = self.folder / f"shard-{len(self.shards):05d}.safetensors"
        save_file({"latents": torch.cat(self.latents)[order], "labels": labels[order]}, file)
        file.with_suffix(".keys.json").write_text(json.dumps([self.keys[row] for row in order.tolist()]))
        counts = torch.bincount(labels, minlength=self.n_classes).tolist()
        self.shards.append(Shard(file.name, tuple(counts)))
        self.latents, self.keys, self.labels = [], [], []


def _rows(shard: Shard, label: int) -> slice:
    first = sum(shard.counts[:label])
    return slice(first, first + shard.counts[label])


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
