"""Stage generate: codebooks -> images on disk; a block is some batches of one budget's codewords."""

from collections.abc import Sequence
from pathlib import Path

from ddoq.blocks import cut_codewords, gather_blocks, left_to_do, link_files
from ddoq.codebooks import open_codebooks
from ddoq.events import Stage, Tally
from ddoq.generate import Painter, Stretch, close_images, show_all
from ddoq.here import fresh_folder
from ddoq.image_index import GeneratedBlock
from ddoq.manifests import read_manifest, write_manifest
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.run import GenerateManifest, Run, dataset_of, fitted_folder, found


def generate_blocks(run: Run, blocks: Sequence[int]) -> None:
    """Make images of the codewords of some blocks, or take the images that they are from the dataset.

    Raises:
        DdoqError: whatever `load_denoiser`, `Painter.paint`, `open_dataset` and `show_all` refuse.
    """
    folder, every = run.folders[Stage.GENERATE], open_codebooks(run.folders[Stage.QUANTIZE])
    cut, missing = cut_codewords(run.config, found(run).class_names), left_to_do(folder, blocks)
    tally = Tally(run.on_event, Stage.GENERATE, sum(len(cut[block].places) for block in blocks))
    if n_done := sum(len(cut[block].places) for block in blocks if block not in missing):
        tally.add(n_done)
    books = {each.budget.name: each for each in every}
    stretches = [Stretch(books[cut[block].budget], cut[block].places, fresh_folder(folder, block)) for block in missing]
    if stretches:
        draw = _show if run.config.parts.canvas == "real" else _paint
        draw(run, stretches, tally)


def join_generated(run: Run, parts: Sequence[Path]) -> None:
    """Make one stage of its blocks."""
    folder, class_names = run.folders[Stage.GENERATE], found(run).class_names
    counts: dict[str, list[int]] = {}
    for own in gather_blocks(parts, len(cut_codewords(run.config, class_names))):
        block = read_manifest(own, GeneratedBlock)
        link_files(own, folder / block.budget)
        of_budget = counts.setdefault(block.budget, [0] * len(class_names))
        for label, n in block.counts.items():
            of_budget[label] += n
    for name, of_budget in counts.items():
        close_images(folder / name, of_budget, run.config)
    write_manifest(folder, GenerateManifest(tuple(counts)))


def _paint(run: Run, stretches: Sequence[Stretch], tally: Tally) -> None:
    prior = _load_prior(run)
    painter = Painter(prior, run.config, run.halved(prior.batch_size))
    for stretch in stretches:
        with tally.one_behind():
            painter.paint(stretch, tally)
            _close(stretch)


def _load_prior(run: Run) -> LatentPrior:
    if run.config.resolved_sampler.strength == 0:
        return load_encoder(run.config)
    fitted = fitted_folder(run) if Stage.FIT in run.config.stages else None
    return load_denoiser(run.config, found(run).class_names, fitted)


def _show(run: Run, stretches: Sequence[Stretch], tally: Tally) -> None:
    for complete in show_all(stretches, dataset_of(run), run.config, tally):
        _close(complete)


def _close(stretch: Stretch) -> None:
    """Write the manifest of a block."""
    counts, shares = {}, {}
    for label, numbers in stretch.numbers():
        weights = stretch.books.of_class(label).weights.tolist()
        counts[label] = len(numbers)
        shares[label] = {number: weights[number] for number in numbers}
    write_manifest(stretch.folder, GeneratedBlock(stretch.books.budget.name, counts, shares))
