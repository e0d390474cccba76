"""Students are trained in blocks that any worker may take; what comes of it does not depend on who took which."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddoq.blocks import block_folder, left_to_do
from ddoq.caches import FolderCache
from ddoq.codebooks import open_codebooks
from ddoq.contender_names import contender_names, n_train_blocks
from ddoq.contenders import gather_contenders, stream_test
from ddoq.errors import BadImagesError, ConfigError
from ddoq.evaluate import evaluate, plan_for
from ddoq.events import Event, Stage, ignore
from ddoq.generate import open_images
from ddoq.latents import open_latents
from ddoq.manifests import read_manifest
from ddoq.network_config import ARCHITECTURES, NetworkConfig
from ddoq.networks import make_network
from ddoq.run import EvaluateManifest, Run, dataset_of
from ddoq.stages import join_blocks, run_blocks, run_stage
from ddoq.student_pool import Lesson, alone_on_cores, train_all
from ddoq.students import train
from ddoq.threads import one_core
from ddoq.train_stage import join_train, train_blocks
from ddoq.trained import TrainedManifest, load_students, open_trained, save_student
from tests.finished import config_of
from tests.pictures import access_to, members, write_folder
from tests.unit.test_evaluate import PLAN, training_set, varied

STUDENTS = {"seeds": 2, "steps": 4, "width": 8, "batch_size": 8, "networks": ["convnet-3", "cifar-resnet-20"]}
FULL = {"images_per_class": [1, 3], "evaluation": "full", "students": STUDENTS}
N_FULL = 2 * 6  # budgets; distilled, two other weights, medoids, random real, full data
TEACHER = {"kind": "checkpoint", "network": "convnet-3", "mean": [0.5] * 3, "deviation": [0.5] * 3, "resolution": 8}


def prepare(folder: Path, files: dict[str, bytes] | None = None, **changes: object) -> Run:
    """Run all stages before students are trained."""
    config = config_of(write_folder(folder / "data", files or members()), **changes)
    folders = {stage: folder / stage for stage in Stage}
    run = Run(config, folders, access_to(folder), FolderCache(folder / "cache"), ignore)
    for stage in config.stages[: config.stages.index(Stage.TRAIN)]:
        run_stage(stage, run)
    return run


def into(folder: Path, run: Run) -> Run:
    """Train and evaluate elsewhere, with a cache of its own."""
    moved = {stage: folder / stage for stage in (Stage.TRAIN, Stage.EVALUATE)}
    return replace(run, folders={**run.folders, **moved}, cache=FolderCache(folder / "cache"))


def tree(folder: Path) -> dict[str, bytes]:
    """All files but those that hold times."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "usage.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def manifest_of(run: Run, block: int) -> TrainedManifest:
    return read_manifest(block_folder(run.folders[Stage.TRAIN], block), TrainedManifest)


def reports_of(run: Run) -> EvaluateManifest:
    run_stage(Stage.EVALUATE, run)
    return read_manifest(run.folders[Stage.EVALUATE], EvaluateManifest)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two budgets in full evaluation, trained and evaluated in one process."""
    run = prepare(tmp_path_factory.mktemp("full"), **FULL)
    run_stage(Stage.TRAIN, run)
    run_stage(Stage.EVALUATE, run)
    return run


@pytest.mark.parametrize(
    ("changes", "n_blocks"),
    [
        ({}, 4),
        ({"images_per_class": [1, 2, 5]}, 12),
        ({"images_per_class": None, "total_images": 9}, 4),
        ({"weights": "uniform"}, 3),
        ({"method": "medoid"}, 2),
        ({"evaluation": "full"}, 6),
        ({"teacher": {**TEACHER, "checkpoint": "/models/t"}}, 5),
        ({"evaluation": "none"}, 0),
    ],
)
def test_there_is_a_block_for_each_contender_of_each_budget(changes: dict[str, object], n_blocks: int) -> None:
    config = config_of("file:///data/pets.zip", **changes)
    assert n_train_blocks(config) == n_blocks
    assert (Stage.TRAIN in config.stages) == (n_blocks > 0)


def test_contenders_are_reported_in_the_order_of_their_blocks(full: Run) -> None:
    manifest = read_manifest(full.folders[Stage.EVALUATE], EvaluateManifest)
    assert tuple(manifest.reports["ipc-3"].accuracy) == contender_names(full.config)
    trained = open_trained(full.folders[Stage.TRAIN])
    assert {budget: tuple(each) for budget, each in trained.items()} == {
        "ipc-1": ("distilled", "medoids", "random real", "full data"),
        "ipc-3": contender_names(full.config),
    }


def test_whoever_trains_which_blocks_the_bytes_are_the_same(full: Run, tmp_path: Path) -> None:
    parts = [range(3), range(3, 4), range(4, 7), range(7, N_FULL)]
    workers = [into(tmp_path / str(number), full) for number in range(len(parts))]
    for worker, blocks in zip(workers, parts, strict=True):
        run_blocks(Stage.TRAIN, worker, blocks)
    whole = into(tmp_path / "whole", full)
    join_blocks(Stage.TRAIN, whole, [worker.folders[Stage.TRAIN] for worker in workers])
    assert tree(whole.folders[Stage.TRAIN]) == tree(full.folders[Stage.TRAIN])
    assert reports_of(whole) == read_manifest(full.folders[Stage.EVALUATE], EvaluateManifest)


def test_a_pool_that_holds_fewer_students_trains_the_same(
    full: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddoq.train_stage.STUDENTS_AT_ONCE", 11)
    run = into(tmp_path, full)
    run_stage(Stage.TRAIN, run)
    assert tree(run.folders[Stage.TRAIN]) == tree(full.folders[Stage.TRAIN])


def test_joining_copies_no_weights(full: Run, tmp_path: Path) -> None:
    run = into(tmp_path, replace(full, config=full.config.model_copy(update={"evaluation": "quick"})))
    train_blocks(run, range(8))
    join_train(run, [run.folders[Stage.TRAIN]])
    links = [file.stat().st_nlink for file in run.folders[Stage.TRAIN].rglob("*.safetensors")]
    assert links
    assert set(links) == {2}


def test_a_stage_with_a_block_that_nobody_has_trained_is_not_complete(full: Run, tmp_path: Path) -> None:
    run = into(tmp_path, replace(full, config=full.config.model_copy(update={"evaluation": "quick"})))
    train_blocks(run, [0, 1, 3])
    with pytest.raises(FileNotFoundError, match="5 of 8 blocks are not there, the first of them 2"):
        join_train(run, [run.folders[Stage.TRAIN]])
    assert left_to_do(run.folders[Stage.TRAIN], range(4)) == [2]


def test_weights_that_come_to_the_same_are_not_trained_twice(full: Run, tmp_path: Path) -> None:
    """With an image a class every weight is one."""
    run = into(tmp_path, full)
    train_blocks(run, [1, 2])
    assert [manifest_of(run, block) for block in (1, 2)] == [
        TrainedManifest("ipc-1", "uniform weights", is_left_out=True),
        TrainedManifest("ipc-1", "share weights", is_left_out=True),
    ]
    assert not list(run.folders[Stage.TRAIN].rglob("*.safetensors"))


def test_an_interrupted_stage_keeps_its_complete_blocks_and_ends_alike(full: Run, tmp_path: Path) -> None:
    run = into(tmp_path, full)
    folder = run.folders[Stage.TRAIN]

    def interrupt(_event: Event) -> None:
        if len(left_to_do(folder, range(N_FULL))) < N_FULL - 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_stage(Stage.TRAIN, replace(run, on_event=interrupt))
    kept = set(range(N_FULL)) - set(left_to_do(folder, range(N_FULL)))
    assert 3 < len(kept) < N_FULL
    times = {block: (block_folder(folder, block) / "manifest.json").stat().st_mtime_ns for block in kept}
    events: list[Event] = []
    train_blocks(replace(run, on_event=events.append), range(N_FULL))
    assert times == {block: (block_folder(folder, block) / "manifest.json").stat().st_mtime_ns for block in kept}
    n_each = (3 + 2) * 2 * 4  # rates and seeds, networks, steps
    assert (events[0].done, events[0].total) == (len(kept) * n_each, N_FULL * n_each)
    run_stage(Stage.TRAIN, run)
    assert tree(folder) == tree(full.folders[Stage.TRAIN])


def test_progress_counts_the_steps_of_the_blocks_at_hand_and_never_goes_back(full: Run, tmp_path: Path) -> None:
    events: list[Event] = []
    train_blocks(replace(into(tmp_path, full), on_event=events.append), [1, 3, 5, 6])  # one of them left out
    assert {event.total for event in events} == {events[-1].done} == {4 * (3 + 2) * 2 * 4}
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert {event.stage for event in events} == {Stage.TRAIN}


def test_figures_are_those_of_students_that_never_were_on_disk(tmp_path: Path) -> None:
    run = prepare(tmp_path, students=STUDENTS)
    run_stage(Stage.TRAIN, run)
    (books,) = open_codebooks(run.folders[Stage.QUANTIZE])
    latents, dataset = open_latents(run.folders[Stage.ENCODE]), dataset_of(run)
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    contenders = gather_contenders(run.config, dataset, latents, books, images)
    plan = plan_for(run.config, books.budget, latents.manifest)
    expected = evaluate(contenders, stream_test(run.config, dataset, []), plan, ignore)
    (report,) = reports_of(run).reports.values()
    assert report.by_network == expected.by_network
    assert report.calibration == expected.calibration


@pytest.mark.parametrize("network", ["convnet-3", "cifar-resnet-20", "resnet-18", "resnet-50", "resnetap-10"])
def test_a_student_comes_back_from_disk_to_the_bit(network: str, tmp_path: Path) -> None:
    config = NetworkConfig(network, width=8)
    side = max(8, ARCHITECTURES[network].least_side)
    data = training_set(8)
    larger = replace(data, images=data.images.repeat(1, 1, side // 8, side // 8))
    plan = varied(networks=(config,), steps=3)
    images = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(0))
    with one_core():
        student = train(config, larger, plan, 0, lambda _step, _loss: None)
        save_student(student, tmp_path, network, 0)
        (loaded,) = load_students(tmp_path, plan, side, 1)[network]
        with torch.inference_mode():
            assert torch.equal(loaded(images), student(images))
    weights, found = student.state_dict(), loaded.state_dict()
    assert weights.keys() == found.keys()
    assert all(torch.equal(weights[name], found[name]) for name in weights)


def test_the_test_is_not_opened_before_all_students_are_trained(tmp_path: Path) -> None:
    broken = {name: b"no picture" for name in members() if name.startswith("test/")}
    run = prepare(tmp_path, members() | broken)
    run_stage(Stage.TRAIN, run)
    with pytest.raises(BadImagesError, match="not one test image"):
        run_stage(Stage.EVALUATE, run)


def test_too_many_validation_images_that_do_not_decode_are_refused_before_students_are_trained(tmp_path: Path) -> None:
    run = prepare(tmp_path, members() | {"train/cat/009.png": b"cut off"}, evaluation="full", students=STUDENTS)
    with pytest.raises(BadImagesError, match=r"1 of 3 validation images do not decode; the first is 'cat/009\.png'"):
        train_blocks(run, range(6))
    assert left_to_do(run.folders[Stage.TRAIN], range(6)) == list(range(6))


def test_blocks_that_learn_from_classes_alone_need_no_teacher(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    save_file(make_network("convnet-3", 3, 8, torch.Generator().manual_seed(0)).state_dict(), file)
    run = prepare(tmp_path, teacher={**TEACHER, "checkpoint": str(file), "labels": "live"})
    file.unlink()
    names = contender_names(run.config)
    train_blocks(run, [names.index("medoids"), names.index("random real")])
    for taught in ("distilled", "uniform weights", "random, same labels"):
        with pytest.raises(ConfigError, match=r"teacher\.safetensors"):
            train_blocks(run, [names.index(taught)])


def test_budgets_whose_students_memory_has_no_room_for_together_are_tested_one_after_another(
    full: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, apart = list[Event](), list[Event]()
    evaluated = tmp_path / "evaluated"
    run = replace(full, folders={**full.folders, Stage.EVALUATE: evaluated})
    expected = reports_of(replace(run, on_event=together.append))
    monkeypatch.setattr("ddoq.evaluation_stage.MAX_BYTES", 0)
    assert reports_of(replace(run, on_event=apart.append)) == expected
    n_test = 3 * 4
    assert (together[-1].done, together[-1].total) == (n_test, n_test)
    assert (apart[-1].done, apart[-1].total) == (2 * n_test, 2 * n_test)


def test_students_are_handed_over_in_order_though_others_are_still_in_training() -> None:
    lessons = [Lesson(PLAN.protocol.networks[0], 0, training_set(8), varied(steps=steps)) for steps in (2, 10**6)]
    with alone_on_cores(PLAN.device) as threads, train_all(lessons, threads, ignore) as students:
        assert not next(students).training


def test_all_steps_are_told_also_of_a_student_whose_training_ends_while_some_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ddoq.student_pool.TELL_SECONDS", 0)
    told: list[int] = []
    lesson = Lesson(PLAN.protocol.networks[0], 0, training_set(8), varied(steps=200))
    with ThreadPoolExecutor(1) as threads:

        def listen(event: Event) -> None:
            told.append(event.done)
            threads.submit(int).result()  # begins when the student's training is over

        with train_all([lesson], threads, listen) as students:
            next(students)
    assert told[-1] == 200
