"""Latents on disk -> a codebook for each class on disk, once for each budget."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file

from ddoq.budgets import Budget, Curve, choose_grid, equal_shares, given_budgets, require_room, share_out
from ddoq.class_requests import ClassRequest
from ddoq.config import DistillConfig
from ddoq.errors import EmptyClassError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import Latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.quantize import quantize_classes
from ddoq.reducers import ClassRows, reduce_class
from ddoq.reduction import Reduction
from ddoq.seeds import stream
from ddoq.threads import one_core_each
from ddoq.types import Codebook

Plan = Sequence[Sequence[Budget]]  # budgets side by side are quantized together, and start from each other
TENSORS = ("centroids", "weights", "counts", "medoids", "cells")
A = TypeVar("A")


@dataclass(frozen=True)
class ClassEntry:
    """One class: mean squared distortion, passes, whether no row can move, and the keys of the medoids' images.

    `remark` says, for a class that memory has no room for, what was done instead; `history` is that of the codebook.
    """

    n_codewords: int
    distortion: float
    iterations: int
    is_fixed_point: bool
    medoids: tuple[str, ...]
    remark: str = ""
    history: tuple[float, ...] = ()


@dataclass(frozen=True)
class CodebooksManifest:
    """What the quantize stage found for one budget, one entry a class."""

    classes: tuple[ClassEntry, ...]


@dataclass(frozen=True)
class BudgetsManifest:
    """What the quantize stage made codebooks for; those of a budget are in the folder of its name."""

    budgets: tuple[Budget, ...]


@dataclass(frozen=True)
class Codebooks:
    """The codebooks of one budget of a complete quantize stage, codewords of each class by falling weight."""

    folder: Path
    budget: Budget
    manifest: CodebooksManifest

    def of_class(self, label: int) -> Codebook:
        """Read one codebook back; its medoids are rows of the latents of that class."""
        entry = self.manifest.classes[label]
        return Codebook(
            **load_file(_file(self.folder, label)),
            distortion=entry.distortion,
            iterations=entry.iterations,
            is_fixed_point=entry.is_fixed_point,
            history=entry.history,
        )


def open_codebooks(folder: Path) -> tuple[Codebooks, ...]:
    """Open what `quantize_all` wrote, in the order of the budgets."""
    budgets = read_manifest(folder, BudgetsManifest).budgets
    return tuple(
        Codebooks(folder / budget.name, budget, read_manifest(folder / budget.name, CodebooksManifest))
        for budget in budgets
    )


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
    reduction = Reduction(latents, class_names, config, on_event)
    budgets = given_budgets(config, class_names)
    written = _write(reduction, (budgets,), folder) if budgets else _share(reduction, folder)
    write_manifest(folder, BudgetsManifest(tuple(books.budget for books in written)))
    return written


def _share(reduction: Reduction, folder: Path) -> tuple[Codebooks, ...]:
    """Share `total_images` out by measured curves, and keep whichever is better: that, or equal shares."""
    total = reduction.config.total_images or 0
    require_room(reduction.counts, total)
    curves: list[Curve] = []
    measured = _each_class(partial(_measure, reduction, total), len(reduction.counts))
    for name in reduction.class_names:
        curves.append(_next_of(measured, name))
        reduction.on_event(Event(Stage.QUANTIZE, len(curves), 2 * len(reduction.counts)))
    shared = Budget(f"total-{total}", share_out(curves, total))
    equal = Budget(f"equal-{total}", equal_shares([curve.n_distinct for curve in curves], total))
    plan = ((shared,), (equal,)) if shared.counts != equal.counts else ((shared,),)
    written = _write(reduction, plan, folder, n_done=len(curves))
    best = min(written, key=partial(_cost, reduction))
    for books in written:
        if books is not best:
            shutil.rmtree(books.folder)
    kept = best.folder.rename(folder / shared.name)
    return (Codebooks(kept, Budget(shared.name, best.budget.counts), best.manifest),)


def _cost(reduction: Reduction, books: Codebooks) -> float:
    """Sum of the squared distances of all images."""
    return sum(n * entry.distortion for n, entry in zip(reduction.counts, books.manifest.classes, strict=True))


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


def _write(reduction: Reduction, plan: Plan, folder: Path, n_done: int = 0) -> tuple[Codebooks, ...]:
    """Write the codebooks of every budget of a plan, each into its own folder; `n_done` events went before."""
    budgets = [budget for together in plan for budget in together]
    for budget in budgets:
        (folder / budget.name).mkdir(parents=True, exist_ok=True)
    entries: list[list[ClassEntry]] = [[] for _ in budgets]
    n_classes, found = len(reduction.class_names), _reduce_each(reduction, plan)
    for label, name in enumerate(reduction.class_names):
        books = _next_of(found, name)
        keys = reduction.latents.keys(label)
        remark = reduction.remark(label, max(budget.counts[label] for budget in budgets))
        for budget, book, of_budget in zip(budgets, books, entries, strict=True):
            ordered = _heaviest_first(book)
            save_file({part: getattr(ordered, part) for part in TENSORS}, _file(folder / budget.name, label))
            of_budget.append(_entry(ordered, keys, remark))
        values = {"distortion": books[0].distortion}
        reduction.on_event(Event(Stage.QUANTIZE, n_done + label + 1, n_done + n_classes, values))
    return tuple(_close(folder / budget.name, budget, found) for budget, found in zip(budgets, entries, strict=True))


def _close(folder: Path, budget: Budget, entries: list[ClassEntry]) -> Codebooks:
    manifest = CodebooksManifest(tuple(entries))
    write_manifest(folder, manifest)
    return Codebooks(folder, budget, manifest)


def _entry(book: Codebook, keys: list[str], remark: str) -> ClassEntry:
    medoids = tuple(keys[row] for row in book.medoids)
    n, is_fixed_point = len(book.counts), book.is_fixed_point
    return ClassEntry(n, book.distortion, book.iterations, is_fixed_point, medoids, remark, book.history)


def _reduce_each(reduction: Reduction, plan: Plan) -> Iterator[tuple[Codebook, ...]]:
    """Reduce the classes in order; answer the codebooks of each in the order of the budgets."""
    labels, config = range(len(reduction.counts)), reduction.config
    if config.parts.reducer != "centroid" or not all(map(reduction.is_held, labels)):
        yield from _each_class(partial(_reduce, reduction, plan), len(labels))
        return
    parts = [quantize_classes(_requests(reduction, together), config.quantizer) for together in plan]
    for books in zip(*parts, strict=True):  # on an accelerator, if there is one
        yield tuple(chain.from_iterable(books))


def _requests(reduction: Reduction, together: Sequence[Budget]) -> Iterator[ClassRequest]:
    """Open the classes for the quantizer, one after another."""
    for label in range(len(reduction.counts)):
        ks = [budget.counts[label] for budget in together]
        yield reduction.latents.of_class(label), ks, stream(reduction.config.seed, "quantize", label)


def _reduce(reduction: Reduction, plan: Plan, label: int) -> tuple[Codebook, ...]:
    """Reduce one class; the parts of a plan know nothing of each other."""
    config = reduction.config
    ks = [[budget.counts[label] for budget in together] for together in plan]
    rows = reduction.rows(label, max(map(max, ks)))
    found = (
        reduce_class(rows, some, config.parts.reducer, config.quantizer, stream(config.seed, "quantize", label))
        for some in ks
    )
    return tuple(book for books in found for book in books)


def _each_class(work: Callable[[int], A], n_classes: int) -> Iterator[A]:
    """Do some work for every class, a class a core, and answer in their order."""
    with one_core_each() as threads:
        window: deque[Future[A]] = deque()
        for label in range(n_classes):
            window.append(threads.submit(work, label))
            if len(window) > torch.get_num_threads():
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _next_of(found: Iterator[A], name: str) -> A:
    try:
        return next(found)
    except EmptyClassError as error:
        raise EmptyClassError(f"class {name!r} has {error}; lower images_per_class or drop the class") from error


def _heaviest_first(book: Codebook) -> Codebook:
    """Number the codewords by falling count."""
    order = book.counts.argsort(descending=True, stable=True)
    parts = {part: getattr(book, part)[order] for part in ("centroids", "weights", "counts", "medoids")}
    return replace(book, **parts, cells=order.argsort()[book.cells])


def _file(folder: Path, label: int) -> Path:
    return folder / f"{label:05d}.safetensors"
