"""How stages are cut into blocks, the smallest pieces of work whose results are kept by themselves. Torch-free.

Where blocks end depends on the config and the data alone, never on who works on them, so what comes of a stage does not
either. A block has a folder of its own, with its manifest last.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ddoq.budgets import given_budgets
from ddoq.config import DistillConfig
from ddoq.contender_names import n_train_blocks
from ddoq.environments import NAME as ENVIRONMENT
from ddoq.events import Stage
from ddoq.manifests import NAME, is_complete
from ddoq.prior_config import FitPrior, PixelsPrior
from ddoq.read_manifest import ReadManifest

ENCODED_IMAGES = 2048  # a block at most, and as many as SHARD_BYTES hold
SHARD_BYTES = 16 * 2**20  # of latents in half precision
QUANTIZED_IMAGES = 5000  # a block at least
DECODED_IMAGES = 1024  # a block at least, where codewords are decoded as they are or stand for real images
DENOISED_IMAGES = 64  # a block at least, where they are denoised first

FOLDER: Final = "blocks"


@dataclass(frozen=True)
class Stretch:
    """Some distilled images of one budget, by their places when its classes follow one another."""

    budget: str
    places: range


@dataclass(frozen=True)
class LabelledSet:
    """A training set that is given soft labels: the distilled one of a budget, or the random one of a seed."""

    budget: str
    seed: int | None

    @property
    def name(self) -> str:
        """As its labels are called in files."""
        return "distilled" if self.seed is None else f"random.{self.seed}"


def plan_blocks(config: DistillConfig, listed: ReadManifest) -> dict[Stage, int]:
    """Count the blocks of each stage that can be cut, of those that the config has."""
    return {stage: count(config, listed) for stage, count in COUNTS.items() if stage in config.stages}


def block_range(index: int, of: int, n_blocks: int) -> range:
    """Which of `n_blocks` blocks are in part `index` of `of`: consecutive, as many as in any other or one more."""
    return range(index * n_blocks // of, (index + 1) * n_blocks // of)


def block_folder(folder: Path, block: int) -> Path:
    """Where a block of the stage in `folder` lies."""
    return folder / FOLDER / f"{block:05d}"


def left_to_do(folder: Path, blocks: Iterable[int]) -> list[int]:
    """Which of these blocks are not complete in `folder`."""
    return [block for block in blocks if not is_complete(block_folder(folder, block))]


def gather_blocks(parts: Iterable[Path], n_blocks: int) -> list[Path]:
    """Find the folders of all blocks, in their order, in the parts of a stage.

    Raises:
        FileNotFoundError: a block is complete in none of them.
    """
    complete = {int(file.parent.name): file.parent for part in parts for file in part.glob(f"{FOLDER}/[0-9]*/{NAME}")}
    if missing := [block for block in range(n_blocks) if block not in complete]:
        raise FileNotFoundError(f"{len(missing)} of {n_blocks} blocks are not there, the first of them {missing[0]}")
    return [complete[block] for block in range(n_blocks)]


def link_files(source: Path, target: Path) -> None:
    """Let all files below `source` be files of `target` too, linked or else copied.

    Its manifest and its environment speak of the source alone.
    """
    for file in sorted(source.rglob("*")):
        if file.is_file() and file not in (source / NAME, source / ENVIRONMENT):
            _link(file, target / file.relative_to(source))


def images_a_block(config: DistillConfig) -> int:
    """How many training images the encode stage takes to a block: whole batches, at least one."""
    prior = config.prior
    is_pixels = isinstance(prior, PixelsPrior) or (isinstance(prior, FitPrior) and prior.model is None)
    dimension = 3 * prior.resolution**2 if is_pixels else prior.resolution**2 // 16  # 4 channels of an eighth the side
    n_batches = min(ENCODED_IMAGES, SHARD_BYTES // (2 * dimension)) // prior.batch_size
    return max(1, n_batches) * prior.batch_size


def cut_images(config: DistillConfig, n_images: int) -> list[range]:
    """Cut the training images, in the order of the dataset, for the encode stage."""
    return _cut(n_images, images_a_block(config))


def cut_classes(config: DistillConfig, listed: ReadManifest) -> list[range]:
    """Cut the classes for the quantize stage; shares of `total_images` need all of them together."""
    n_classes = len(listed.class_names)
    n_blocks = min(n_classes, max(1, sum(listed.n_train) // QUANTIZED_IMAGES)) if config.total_images is None else 1
    return [block_range(block, n_blocks, n_classes) for block in range(n_blocks)]


def cut_codewords(config: DistillConfig, class_names: Sequence[str]) -> list[Stretch]:
    """Cut the codewords of every budget for the generate stage; no batch lies in two blocks."""
    is_denoised = config.parts.canvas == "prior" and config.resolved_sampler.strength > 0
    size, least = config.prior.batch_size, DENOISED_IMAGES if is_denoised else DECODED_IMAGES
    return [
        Stretch(budget, places)
        for budget, n_images in _count_images(config, class_names).items()
        for places in _cut(n_images, -(-least // size) * size)
    ]


def cut_sets(config: DistillConfig, class_names: Sequence[str]) -> list[LabelledSet]:
    """Name the training sets for the label stage, a block each."""
    seeds = (None, *range(config.n_draws))
    return [LabelledSet(budget, seed) for budget in _count_images(config, class_names) for seed in seeds]


COUNTS: Final[Mapping[Stage, Callable[[DistillConfig, ReadManifest], int]]] = MappingProxyType(
    {
        Stage.ENCODE: lambda config, listed: len(cut_images(config, sum(listed.n_train))),
        Stage.QUANTIZE: lambda config, listed: len(cut_classes(config, listed)),
        Stage.GENERATE: lambda config, listed: len(cut_codewords(config, listed.class_names)),
        Stage.LABEL: lambda config, listed: len(cut_sets(config, listed.class_names)),
        Stage.TRAIN: lambda config, _: n_train_blocks(config),
    }
)


def _count_images(config: DistillConfig, class_names: Sequence[str]) -> dict[str, int]:
    """Count the distilled images of each budget, by its name."""
    budgets = given_budgets(config, class_names)
    if budgets is None:
        return {f"total-{config.total_images}": config.total_images or 0}
    return {budget.name: sum(budget.counts) for budget in budgets}


def _cut(n: int, size: int) -> list[range]:
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
