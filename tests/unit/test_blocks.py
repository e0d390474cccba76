"""Where stages are cut into blocks, and how blocks are found again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddoq.blocks import (
    block_folder,
    block_range,
    cut_classes,
    cut_codewords,
    cut_images,
    cut_sets,
    gather_blocks,
    left_to_do,
    link_files,
    plan_blocks,
)
from ddoq.config import DistillConfig
from ddoq.environments import environments_of, note_environments
from ddoq.events import Stage
from ddoq.here import environment_here, fresh_folder
from ddoq.manifests import write_manifest
from ddoq.read_manifest import ReadManifest

VAE = {"kind": "vae", "model": "m", "revision": "r"}
DIT = {"kind": "dit", "model": "m", "revision": "r"}
COLOURS = {"mean": [0.5] * 3, "deviation": [0.25] * 3}
TEACHER = {"kind": "checkpoint", "network": "convnet-3", "checkpoint": "/teacher", "resolution": 32, **COLOURS}


def config(**changes: object) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": {"uri": "file:///data"}, **changes})


def listed(n_classes: int, n_train: int) -> ReadManifest:
    """A dataset of classes of `n_train` images each."""
    names = tuple(f"class {label}" for label in range(n_classes))
    return ReadManifest(names, (n_train,) * n_classes, (1,) * n_classes, None, False, (), "f")


@given(n_blocks=st.integers(1, 500), of=st.integers(1, 500))
def test_parts_hold_every_block_once_in_order_and_as_many_as_the_next_or_one_more(n_blocks: int, of: int) -> None:
    parts = [block_range(index, of, n_blocks) for index in range(of)]
    assert [block for part in parts for block in part] == list(range(n_blocks))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("prior", "size"),
    [
        ({"kind": "pixels", "resolution": 16}, 2048),
        ({"kind": "pixels", "resolution": 64}, 512),  # 683 of 24 KiB in 16 MiB, in whole batches of 256
        (VAE, 2048),  # of 8 KiB
        (VAE | {"resolution": 1024, "batch_size": 12}, 120),  # 128 of 128 KiB
        (VAE | {"resolution": 1024, "batch_size": 200}, 200),
        ({"kind": "fit", "resolution": 64, "batch_size": 100}, 600),
        ({"kind": "fit", "resolution": 64, "model": "m", "revision": "r"}, 2048),
    ],
    ids=str,
)
def test_a_block_of_images_is_whole_batches_of_at_most_16_mib_of_latents(prior: dict[str, object], size: int) -> None:
    ranges = cut_images(config(prior=prior), 10_000)
    assert ranges[0] == range(size)
    assert [place for images in ranges for place in images] == list(range(10_000))


@pytest.mark.parametrize(
    ("n_classes", "n_train", "n_blocks"), [(10, 100, 1), (10, 5000, 10), (3, 50_000, 3), (1000, 1300, 260)]
)
def test_a_block_of_classes_has_5000_images_or_one_class(n_classes: int, n_train: int, n_blocks: int) -> None:
    ranges = cut_classes(config(), listed(n_classes, n_train))
    assert len(ranges) == n_blocks
    assert [label for classes in ranges for label in classes] == list(range(n_classes))


def test_shares_of_a_total_are_one_block_for_they_need_all_classes() -> None:
    assert cut_classes(config(total_images=20), listed(10, 5000)) == [range(10)]


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 1024),
        ({"prior": VAE | {"batch_size": 48}}, 1056),
        ({"prior": DIT | {"batch_size": 48}}, 96),
        ({"prior": DIT, "sampler": {"strength": 0}}, 1024),
        ({"prior": DIT, "method": "medoid"}, 1024),
    ],
    ids=str,
)
def test_a_block_of_codewords_is_smaller_where_they_are_denoised(changes: dict[str, object], size: int) -> None:
    cut = cut_codewords(config(images_per_class=[500, 300], **changes), listed(10, 1).class_names)
    assert cut[0].places == range(size)
    for budget, n in (("ipc-500", 5000), ("ipc-300", 3000)):
        assert [place for stretch in cut if stretch.budget == budget for place in stretch.places] == list(range(n))


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        ({"total_images": 70}, {"total-70": 70}),
        ({"images_per_class": {"class 0": 3, "class 1": 9}}, {"by-class": 12}),
    ],
    ids=str,
)
def test_every_form_of_a_budget_is_cut(asked: dict[str, object], sizes: dict[str, int]) -> None:
    cut = cut_codewords(config(**asked), ("class 0", "class 1"))
    assert {stretch.budget: len(stretch.places) for stretch in cut} == sizes


def test_training_sets_are_labelled_one_a_block() -> None:
    students = {"seeds": 2, "protocol": "quick"}
    asked = config(images_per_class=[1, 2], teacher=TEACHER, students=students)
    names = [(each.budget, each.name) for each in cut_sets(asked, ("a", "b"))]
    assert names == [(budget, name) for budget in ("ipc-1", "ipc-2") for name in ("distilled", "random.0", "random.1")]
    bare = config(teacher=TEACHER, evaluation="none")
    assert [each.name for each in cut_sets(bare, ("a", "b"))] == ["distilled"]  # no random images compete


def test_the_plan_has_the_stages_that_are_cut_and_that_there_are() -> None:
    plan = plan_blocks(config(), listed(10, 5000))
    assert plan[Stage.ENCODE] == 25  # 50,000 images by 2048
    assert plan[Stage.QUANTIZE] == 10
    assert plan[Stage.GENERATE] == 1
    assert not plan.keys() & {Stage.READ, Stage.FIT, Stage.LABEL, Stage.TEACH, Stage.EVALUATE, Stage.PACKAGE}
    assert plan_blocks(config(teacher=TEACHER), listed(10, 5000))[Stage.LABEL] == 1 + config().n_draws


def test_a_block_without_its_manifest_is_left_to_do(tmp_path: Path) -> None:
    for block in range(3):
        (fresh_folder(tmp_path, block) / "work").write_text("half done")
    write_manifest(block_folder(tmp_path, 1), listed(2, 2))
    assert left_to_do(tmp_path, range(4)) == [0, 2, 3]


def test_a_block_that_is_begun_is_empty_but_for_a_note_of_who_makes_it(tmp_path: Path) -> None:
    for _ in range(2):
        (fresh_folder(tmp_path, 3) / "work").write_text("half done")
    own = fresh_folder(tmp_path, 3)
    assert [file.name for file in own.iterdir()] == ["environment.json"]
    assert environments_of(own) == (environment_here(),)


def test_blocks_are_gathered_in_their_order_from_whichever_part_has_them(tmp_path: Path) -> None:
    for part, block in (("one", 2), ("one", 0), ("two", 1), ("three", 10)):
        write_manifest(fresh_folder(tmp_path / part, block), listed(2, 2))
    parts = [tmp_path / part for part in ("two", "three", "one", "none")]
    assert gather_blocks(parts, 3) == [block_folder(tmp_path / part, n) for n, part in enumerate(("one", "two", "one"))]
    with pytest.raises(FileNotFoundError, match=r"7 of 11 blocks are not there, the first of them 3"):
        gather_blocks(parts, 11)


@pytest.mark.parametrize("has_links", [True, False])
def test_files_are_linked_or_else_copied(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_text("content")
    note_environments(source, ())
    write_manifest(source, listed(2, 2))
    for _ in range(2):  # a second time over what is there
        link_files(source, tmp_path / "target")
    linked = tmp_path / "target" / "below" / "file"
    assert linked.read_text() == "content"
    assert linked.samefile(source / "below" / "file") is has_links
    assert [file.name for file in (tmp_path / "target").iterdir()] == ["below"]


def test_cutting_needs_no_torch() -> None:
    code = "import sys, ddoq.blocks; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
