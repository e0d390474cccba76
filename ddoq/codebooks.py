"""The files of codebooks: one for each class, once for each budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from ddoq.budgets import Budget
from ddoq.manifests import read_manifest, write_manifest
from ddoq.types import Codebook

TENSORS = ("centroids", "weights", "counts", "medoids", "cells")


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
    """Open what the quantize stage wrote, in the order of the budgets."""
    budgets = read_manifest(folder, BudgetsManifest).budgets
    return tuple(
        Codebooks(folder / budget.name, budget, read_manifest(folder / budget.name, CodebooksManifest))
        for budget in budgets
    )


def write_codebook(folder: Path, label: int, book: Codebook, keys: Sequence[str], remark: str) -> ClassEntry:
    """Write the codebook of one class, whose images have these keys, its codewords by falling count."""
    ordered = _heaviest_first(book)
    save_file({part: getattr(ordered, part) for part in TENSORS}, _file(folder, label))
    return ClassEntry(
        n_codewords=len(ordered.counts),
        distortion=ordered.distortion,
        iterations=ordered.iterations,
        is_fixed_point=ordered.is_fixed_point,
        medoids=tuple(keys[row] for row in ordered.medoids),
        remark=remark,
        history=ordered.history,
    )


def close_codebooks(folder: Path, budgets: Iterable[Budget], entries: Iterable[Sequence[ClassEntry]]) -> None:
    """Write the manifests of budgets, whose codebooks are in folders of their names, and that of all of them last."""
    every = tuple(budgets)
    for budget, of_budget in zip(every, entries, strict=True):
        write_manifest(folder / budget.name, CodebooksManifest(tuple(of_budget)))
    write_manifest(folder, BudgetsManifest(every))


def _heaviest_first(book: Codebook) -> Codebook:
    """Number the codewords by falling count."""
    order = book.counts.argsort(descending=True, stable=True)
    parts = {part: getattr(book, part)[order] for part in ("centroids", "weights", "counts", "medoids")}
    return replace(book, **parts, cells=order.argsort()[book.cells])


def _file(folder: Path, label: int) -> Path:
    return folder / f"{label:05d}.safetensors"
