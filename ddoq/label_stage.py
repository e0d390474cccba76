"""Stage label: images -> soft labels in files; a block is one training set, distilled or random."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from safetensors.torch import load_file
from torch import Tensor

from ddoq.blocks import LabelledSet, cut_sets, gather_blocks, left_to_do, link_files
from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.contenders import draw_random, read_choice
from ddoq.evaluate import plan_for
from ddoq.events import Stage, Tally
from ddoq.generate import open_images
from ddoq.here import fresh_folder
from ddoq.labelling import count_labelled, label_images, store_labels
from ddoq.labels import FILE, close_labels, write_labels
from ddoq.latents import open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.run import Run, dataset_of, found, teacher_of


@dataclass(frozen=True)
class LabelledBlock:
    """The set whose labels these are: in a file, or for stored ones in a folder of its name."""

    budget: str
    name: str


def label_blocks(run: Run, blocks: Sequence[int]) -> None:
    """Label the training sets of some blocks.

    Raises:
        TeacherError: logits are NaN, or too large for half precision.
    """
    folder, latents = run.folders[Stage.LABEL], open_latents(run.folders[Stage.ENCODE])
    books = {each.budget.name: each for each in open_codebooks(run.folders[Stage.QUANTIZE])}
    plans = {name: plan_for(run.config, each.budget, latents.manifest) for name, each in books.items()}
    sets, missing = cut_sets(run.config, found(run).class_names), left_to_do(folder, blocks)
    counts = {block: count_labelled(plans[sets[block].budget]) for block in blocks}
    tally = Tally(run.on_event, Stage.LABEL, sum(counts.values()))
    if n_done := sum(n for block, n in counts.items() if block not in missing):
        tally.add(n_done)
    if not missing:
        return
    teacher = teacher_of(run)
    for block in missing:
        own, what = fresh_folder(folder, block), sets[block]
        is_stored = run.config.resolved_protocol.labels == "stored"
        side = run.config.student_resolution if is_stored else teacher.resolution
        pictures = _read_set(run, what, books[what.budget], side)
        with tally.one_behind():
            if is_stored:
                store_labels(pictures, teacher, plans[what.budget], own / what.name, tally.add)
            else:
                write_labels(own, {what.name: label_images(pictures, teacher, tally.add)})
            write_manifest(own, LabelledBlock(what.budget, what.name))


def join_labelled(run: Run, parts: Sequence[Path]) -> None:
    """Make one stage of its blocks."""
    folder, fixed = run.folders[Stage.LABEL], dict[str, dict[str, Tensor]]()
    for own in gather_blocks(parts, len(cut_sets(run.config, found(run).class_names))):
        budget = read_manifest(own, LabelledBlock).budget
        of_budget = fixed.setdefault(budget, {})
        if (own / FILE).is_file():
            of_budget.update(load_file(own / FILE))
        else:
            link_files(own, folder / budget)
    for budget, logits in fixed.items():
        if logits:
            write_labels(folder / budget, logits)
    close_labels(folder, fixed)


def _read_set(run: Run, what: LabelledSet, books: Codebooks, side: int) -> UInt8[Tensor, "m 3 h h"]:
    """Read the images of a training set, resized to `side`."""
    if what.seed is None:
        images = open_images(run.folders[Stage.GENERATE] / what.budget)
        return torch.cat([images.of_class(label, side) for label in range(len(books.budget.counts))])
    latents = open_latents(run.folders[Stage.ENCODE])
    return read_choice(dataset_of(run), draw_random(run.config, latents, books.budget.counts, what.seed), side)
