"""Samples -> latents on disk, block by block.

A block is a shard of the latents, and carries what the manifest of all of them says. Batches end with their block, so
that no latent depends on which blocks were encoded together.
"""

import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise
from math import prod
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ddoq.batches import in_batches
from ddoq.blocks import FOLDER, cut_images, gather_blocks, link_files
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset
from ddoq.errors import BadImagesError, NotFiniteError
from ddoq.events import OnEvent, Stage, Tally
from ddoq.here import fresh_folder
from ddoq.image_figures import Figures, Summary
from ddoq.image_rules import BadImage
from ddoq.latents import Latents, LatentsManifest, Shard, open_latents, write_shard
from ddoq.manifests import read_manifest, write_manifest
from ddoq.prior import LatentPrior
from ddoq.prior_config import PixelsPrior
from ddoq.seeds import stream
from ddoq.types import Sample

NAMED_BAD_IMAGES = 20


@dataclass(frozen=True)
class EncodedBlock:
    """What the encode stage made of some consecutive images; `bad` names the first of `n_bad` that did not decode.

    `smaller_batch` is the size to which batches had to shrink for want of memory, if they had.
    """

    shard: Shard
    dimension: int
    figures: Figures
    n_bad: int
    bad: tuple[BadImage, ...]
    smaller_batch: int | None


@dataclass(frozen=True)
class Encoder:
    """Encodes blocks of training images into `folder`, `batch_size` images at a time."""

    dataset: Dataset
    prior: LatentPrior
    config: DistillConfig
    folder: Path
    batch_size: int

    @property
    def n_images(self) -> int:
        """Training images there are."""
        return sum(self.dataset.counts["train"])

    def encode(self, blocks: Sequence[int], tally: Tally) -> Iterator[tuple[int, EncodedBlock]]:
        """Encode blocks, in rising order, and yield each when it is complete.

        Those that follow each other are read in one pass. Memory holds the latents of one block. A batch that the
        device's memory does not hold is halved; that changes no latent beyond rounding.

        Raises:
            BadImagesError: more images of these blocks do not decode than the config allows of all.
            NotFiniteError: the prior makes NaN or infinity of an image.
            OutOfMemoryError: the device's memory does not hold the work on one image.
        """
        ranges, n_bad = cut_images(self.config, self.n_images), 0
        for together in _consecutive(blocks):
            places = range(ranges[together[0]].start, ranges[together[-1]].stop)
            with closing(self.dataset.stream("train", self.prior.resolution, places=places)) as results:
                for block in together:
                    with tally.one_behind():
                        made = self._encode_block(block, islice(results, len(ranges[block])), tally)
                    n_bad += made.n_bad
                    require_decoded(n_bad, made.bad, self.n_images, self.config)
                    yield block, made

    def _encode_block(self, block: int, results: Iterator[Sample | BadImage], tally: Tally) -> EncodedBlock:
        folder, sifted = fresh_folder(self.folder, block), _Sifted(results)
        summary, smaller = Summary(self.prior.resolution), list[int]()
        latents, keys, labels = (
            [torch.empty(0, prod(self.prior.latent_shape), dtype=torch.half)],
            list[str](),
            list[int](),
        )

        def on_smaller(size: int) -> None:
            smaller.append(size)
            tally.add(0, {"batch_size": size})

        if self.batch_size < self.prior.batch_size:
            smaller.append(self.batch_size)
        for batch, (images, z) in in_batches(sifted, self.batch_size, self._encode_batch, on_smaller):
            latents.append(z.half())
            keys += [sample.key for sample in batch]
            labels += [sample.label for sample in batch]
            summary.add(images, batch)
            tally.add(sifted.take_count())
        if n_last := sifted.take_count():
            tally.add(n_last)
        file = folder / f"shard-{block:05d}.safetensors"
        made = EncodedBlock(
            shard=write_shard(file, torch.cat(latents), keys, labels, len(self.dataset.class_names)),
            dimension=latents[0].shape[1],
            figures=summary.figures(),
            n_bad=len(sifted.bad),
            bad=tuple(sifted.bad[:NAMED_BAD_IMAGES]),
            smaller_batch=min(smaller, default=None),
        )
        write_manifest(folder, made)
        return made

    def _encode_batch(self, batch: Sequence[Sample]) -> tuple[Tensor, Float[Tensor, "b d"]]:
        """Map samples to their images and latents."""
        prior = self.config.prior
        is_sampled = not isinstance(prior, PixelsPrior) and prior.latents == "sample"
        images = torch.stack([sample.image for sample in batch])
        rngs = [stream(self.config.seed, "posterior", sample.key) for sample in batch] if is_sampled else None
        z = self.prior.encode(images, rngs)
        if not bool(torch.isfinite(z).all()):
            raise NotFiniteError(f"latents of {batch[0].key!r} or its neighbours are not finite; use another prior")
        return images, z


def encode(dataset: Dataset, prior: LatentPrior, config: DistillConfig, folder: Path, on_event: OnEvent) -> Latents:
    """Encode every training image and write the latents into `folder`, the manifest last.

    Raises:
        BadImagesError: more than the config's share of the training images do not decode.
        NotFiniteError, OutOfMemoryError: as for `Encoder.encode`.
    """
    encoder = Encoder(dataset, prior, config, folder, prior.batch_size)
    blocks = range(len(cut_images(config, encoder.n_images)))
    for _ in encoder.encode(blocks, Tally(on_event, Stage.ENCODE, encoder.n_images)):
        pass
    join_latents((folder,), config, encoder.n_images, folder)
    shutil.rmtree(folder / FOLDER)
    return open_latents(folder)


def join_latents(parts: Sequence[Path], config: DistillConfig, n_images: int, folder: Path) -> None:
    """Make one stage, its manifest last, of blocks that together hold `n_images` training images.

    Raises:
        BadImagesError: more of them than the config allows do not decode.
    """
    folders = gather_blocks(parts, len(cut_images(config, n_images)))
    blocks = [read_manifest(block, EncodedBlock) for block in folders]
    summary, bad = Summary(config.prior.resolution), tuple(image for block in blocks for image in block.bad)
    n_bad = sum(block.n_bad for block in blocks)
    require_decoded(n_bad, bad, n_images, config)
    for block, own in zip(blocks, folders, strict=True):
        summary.take(block.figures)
        link_files(own, folder)
    nothing = (0, 0)
    manifest = LatentsManifest(
        dimension=blocks[0].dimension,
        counts=tuple(map(sum, zip(*(block.shard.counts for block in blocks), strict=True))),
        shards=tuple(block.shard for block in blocks),
        mean=summary.mean,
        deviation=summary.deviation,
        sizes=(summary.smallest or nothing, summary.largest or nothing),
        n_resized=summary.n_resized,
        n_bad=n_bad,
        bad=bad[:NAMED_BAD_IMAGES],
        smaller_batch=min((block.smaller_batch for block in blocks if block.smaller_batch), default=None),
        n_bytes=summary.n_bytes,
    )
    write_manifest(folder, manifest)


def require_decoded(n_bad: int, named: Sequence[BadImage], n_images: int, config: DistillConfig) -> None:
    """Raise BadImagesError when more images do not decode than the config allows."""
    most = config.dataset.max_bad_share
    if n_bad > most * n_images:
        raise BadImagesError(
            f"{n_bad} of {n_images} images do not decode, more than dataset.max_bad_share = {most:g} allows; one is "
            f"{named[0].key!r}: {named[0].reason}. Mend them or raise the share"
        )


class _Sifted:
    """Passes samples on, keeps what did not decode, and counts both."""

    def __init__(self, results: Iterator[Sample | BadImage]) -> None:
        self.bad: list[BadImage] = []
        self._results, self._n_new = results, 0

    def __iter__(self) -> Generator[Sample, None, None]:
        for result in self._results:
            self._n_new += 1
            if isinstance(result, BadImage):
                self.bad.append(result)
            else:
                yield result

    def take_count(self) -> int:
        """Count the images since the last time."""
        n_new, self._n_new = self._n_new, 0
        return n_new


def _consecutive(blocks: Sequence[int]) -> Iterator[Sequence[int]]:
    """Part rising numbers where one is left out."""
    ends = [place for place, (one, other) in enumerate(pairwise(blocks), 1) if other > one + 1]
    for start, end in pairwise([0, *ends, len(blocks)]):
        yield blocks[start:end]
