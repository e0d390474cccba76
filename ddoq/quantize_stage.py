"""Latents on disk -> a codebook for each class on disk, once for each budget; a block is some consecutive classes."""

import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from ddoq.blocks import FOLDER, cut_classes, gather_blocks, left_to_do, link_files
from ddoq.budgets import Budget, Curve, choose_grid, equal_shares, given_budgets, require_room, share_out
from ddoq.class_requests import ClassRequest
from ddoq.codebooks import ClassEntry, Codebooks, close_codebooks, open_codebooks, write_codebook
from ddoq.config import DistillConfig
from ddoq.errors import EmptyClassError
from ddoq.events import OnEvent, Stage, Tally
from ddoq.here import fresh_folder
from ddoq.latents import Latents, open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.quantize import quantize_classes
from ddoq.reducers import ClassRows, reduce_class
from ddoq.reduction import Reduction
from ddoq.run import Run, found
from ddoq.seeds import stream
from ddoq.threads import one_core_each
from ddoq.types import Codebook

Plan = Sequence[Sequence[Budget]]  # budgets side by side are quantized together, and start from each other
Reduced = tuple[int, tuple[Codebook, ...]]  # a class and its codebooks, in the order of the budgets
A = TypeVar("A")


@dataclass(frozen=True)
class QuantizedBlock:
    """What the quantize stage made of some consecutive classes: an entry each, for each budget by its name."""

    budgets: Mapping[str, tuple[ClassEntry, ...]]


def quantize_blocks(run: Run, blocks: Sequence[int]) -> None:
    """Reduce the classes of some blocks to the codebooks of every budget.

    Raises:
        DdoqError: as for `quantize_all`.
    """
    listed, folder = found(run), run.folders[Stage.QUANTIZE]
    ranges, missing = cut_classes(run.config, listed), left_to_do(folder, blocks)
    reduction = Reduction(open_latents(run.folders[Stage.ENCODE]), listed.class_names, run.config, run.halvings)
    tally = Tally(run.on_event, Stage.QUANTIZE, _n_pieces(run.config, [ranges[block] for block in blocks]))
    if n_done := _n_pieces(run.config, [ranges[block] for block in blocks if block not in missing]):
        tally.add(n_done)
    _quantize(reduction, {block: ranges[block] for block in missing}, folder, tally)


def join_quantized(run: Run, parts: Sequence[Path]) -> None:
    """Make one stage of its blocks."""
    _join(parts, len(cut_classes(run.config, found(run))), run.folders[Stage.QUANTIZE])


def quantize_all(
    latents: Latents, class_names: tuple[str, ...], config: DistillConfig, folder: Path, on_event: OnEvent
) -> tuple[Codebooks, ...]:
    """Reduce every class to the codebooks of every budget, and write them into folders in `folder`, the manifest last.

    As many classes as there are cores are in memory at a time. For `total_images` the distortion of each class is first
    measured at a few numbers of codewords; the images are then shared out, unless equal shares turn out better.

    Raises:
        EmptyClassError: a class has fewer distinct images than are asked for.
        UnknownClassError: `images_per_class` names other classes than there are.
        ConfigError: there are fewer `total_images` than classes, or more than distinct images.
    """
    everything = range(len(class_names))
    tally = Tally(on_event, Stage.QUANTIZE, _n_pieces(config, [everything]))
    _quantize(Reduction(latents, class_names, config), {0: everything}, folder, tally)
    _join([folder], 1, folder)
    shutil.rmtree(folder / FOLDER)
    return open_codebooks(folder)


def _n_pieces(config: DistillConfig, ranges: Sequence[range]) -> int:
    """Count the steps of these classes that are told of: shares are measured first."""
    return sum(map(len, ranges)) * (1 if config.total_images is None else 2)


def _quantize(reduction: Reduction, ranges: Mapping[int, range], folder: Path, tally: Tally) -> None:
    """Write blocks, the classes of all of them in one stream; the manifest of each when its classes are done."""
    budgets = given_budgets(reduction.config, reduction.class_names)
    if budgets is None:
        for block in ranges:  # shares need all classes in one
            own = fresh_folder(folder, block)
            with tally.one_behind():
                write_manifest(own, QuantizedBlock(_share(reduction, own, tally)))
        return
    with closing(_reduce_each(reduction, (budgets,), list(chain(*ranges.values())))) as books:
        for block, labels in ranges.items():
            own = fresh_folder(folder, block)
            of_block = islice(books, len(labels))
            with tally.one_behind():
                write_manifest(own, QuantizedBlock(_write(reduction, budgets, of_block, own, tally)))


def _join(parts: Sequence[Path], n_blocks: int, folder: Path) -> None:
    folders = gather_blocks(parts, n_blocks)
    for own in folders:
        link_files(own, folder)
    blocks = [read_manifest(own, QuantizedBlock).budgets for own in folders]
    entries = {name: [entry for block in blocks for entry in block[name]] for name in blocks[0]}
    budgets = [Budget(name, tuple(entry.n_codewords for entry in of_budget)) for name, of_budget in entries.items()]
    close_codebooks(folder, budgets, entries.values())


def _share(reduction: Reduction, folder: Path, tally: Tally) -> Mapping[str, tuple[ClassEntry, ...]]:
    """Share `total_images` out by measured curves, and keep whichever is better: that, or equal shares."""
    total, labels = reduction.config.total_images or 0, range(len(reduction.counts))
    require_room(reduction.counts, total)
    curves: list[Curve] = []
    with closing(_each_class(partial(_measure, reduction, total), labels, reduction.n_threads)) as measured:
        for name in reduction.class_names:
            curves.append(_next_of(measured, name))
            tally.add(1)
    shared = Budget(f"total-{total}", share_out(curves, total))
    equal = Budget(f"equal-{total}", equal_shares([curve.n_distinct for curve in curves], total))
    plan = ((shared,), (equal,)) if shared.counts != equal.counts else ((shared,),)
    with closing(_reduce_each(reduction, plan, labels)) as books:
        written = _write(reduction, [budget for (budget,) in plan], books, folder, tally)
    best = min(written, key=lambda name: _cost(reduction, written[name]))
    for name in written.keys() - {best}:
        shutil.rmtree(folder / name)
    (folder / best).rename(folder / shared.name)
    return {shared.name: written[best]}


def _cost(reduction: Reduction, entries: Sequence[ClassEntry]) -> float:
    """Sum of the squared distances of all images."""
    return sum(n * entry.distortion for n, entry in zip(reduction.counts, entries, strict=True))


def _measure(reduction: Reduction, total: int, label: int) -> Curve:
    """Measure what codewords are worth to a class, with little effort: only differences between classes matter."""
    config, n_classes = reduction.config, len(reduction.counts)
    rows = reduction.rows(label, total // n_classes)
    n_distinct = _count_distinct(rows)
    ks = choose_grid(total, n_distinct, n_classes)
    quantizer = config.quantizer.model_copy(update={"effort": "fast"})
    books = reduce_class(rows, ks, config.parts.reducer, quantizer, stream(config.seed, "curve", label))
    return Curve(rows.n_rows, n_distinct, ks, tuple(book.distortion for book in books))


def _count_distinct(rows: ClassRows) -> int:
    """Count the different rows of a class."""
    digests = (
        blake2b(row, digest_size=16).digest()
        for _, block in rows.blocks()
        for row in (block.float() + 0.0).contiguous().numpy()  # minus zero is zero
    )
    return len(set(digests))


def _write(
    reduction: Reduction, budgets: Sequence[Budget], reduced: Iterable[Reduced], folder: Path, tally: Tally
) -> Mapping[str, tuple[ClassEntry, ...]]:
    """Write codebooks, those of each budget into its own folder; answer the entries by the budget's name."""
    entries: dict[str, list[ClassEntry]] = {budget.name: [] for budget in budgets}
    for name in entries:
        (folder / name).mkdir()
    for label, books in reduced:
        keys = reduction.latents.keys(label)
        remark = reduction.remark(label, max(budget.counts[label] for budget in budgets))
        for name, book in zip(entries, books, strict=True):
            entries[name].append(write_codebook(folder / name, label, book, keys, remark))
        tally.add(1, {"distortion": books[0].distortion})
    return {name: tuple(of_budget) for name, of_budget in entries.items()}


def _reduce_each(reduction: Reduction, plan: Plan, labels: Sequence[int]) -> Generator[Reduced, None, None]:
    """Reduce some classes in order."""
    with closing(_codebooks(reduction, plan, labels)) as found_books:
        for label in labels:
            yield label, _next_of(found_books, reduction.class_names[label])


def _codebooks(reduction: Reduction, plan: Plan, labels: Sequence[int]) -> Generator[tuple[Codebook, ...], None, None]:
    config, everything = reduction.config, range(len(reduction.counts))
    if config.parts.reducer != "centroid" or not all(map(reduction.is_held, everything)):
        yield from _each_class(partial(_reduce, reduction, plan), labels, reduction.n_threads)
        return
    parts = [
        quantize_classes(_requests(reduction, together, labels), config.quantizer, reduction.halvings)
        for together in plan
    ]
    for books in zip(*parts, strict=True):  # on an accelerator, if there is one
        yield tuple(chain.from_iterable(books))


def _requests(reduction: Reduction, together: Sequence[Budget], labels: Sequence[int]) -> Iterator[ClassRequest]:
    """Open the classes for the quantizer, one after another."""
    for label in labels:
        ks = [budget.counts[label] for budget in together]
        yield reduction.latents.of_class(label), ks, stream(reduction.config.seed, "quantize", label)


def _reduce(reduction: Reduction, plan: Plan, label: int) -> tuple[Codebook, ...]:
    """Reduce one class; the parts of a plan know nothing of each other."""
    config = reduction.config
    ks = [[budget.counts[label] for budget in together] for together in plan]
    rows = reduction.rows(label, max(map(max, ks)))
    found_books = (
        reduce_class(rows, some, config.parts.reducer, config.quantizer, stream(config.seed, "quantize", label))
        for some in ks
    )
    return tuple(book for books in found_books for book in books)


def _each_class(work: Callable[[int], A], labels: Sequence[int], n_threads: int) -> Generator[A, None, None]:
    """Do some work for every class, a class a core, and answer in their order."""
    with one_core_each(n_threads) as threads:
        window: deque[Future[A]] = deque()
        for label in labels:
            window.append(threads.submit(work, label))
            if len(window) > n_threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _next_of(books: Iterator[A], name: str) -> A:
    try:
        return next(books)
    except EmptyClassError as error:
        raise EmptyClassError(f"class {name!r} has {error}; lower images_per_class or drop the class") from error
