"""The scoreboard takes up where it was stopped, measures what matters first, and says where DDOQ loses."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from scoreboard import Choice, command, measure
from scoreboard_data import Study
from scoreboard_rows import (
    DDOQ,
    LABELS,
    MAKERS,
    RANDOM,
    Course,
    Labels,
    Maker,
    Result,
    Row,
    append_results,
    in_groups,
    list_rows,
    read_results,
)
from scoreboard_table import Board, Head, render

N_TRAIN, N_TEST = 52, 3  # of each class; codebooks of fifty are made in any case
COURSE = Course("quick", steps=2, width=8, seeds=2)
MEDOID = Maker("medoid", "real")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Fashion-MNIST in small: the files are as those of the real one."""
    data = tmp_path_factory.mktemp("data")
    (data / "fashion-mnist").mkdir()
    rng = np.random.default_rng(0)
    for stem, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        labels = np.repeat(np.arange(10, dtype=np.uint8), n)
        pixels = (20 * labels[:, None, None] + rng.integers(0, 60, (len(labels), 28, 28))).astype(np.uint8)
        for kind, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
            file = data / "fashion-mnist" / f"{stem}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(bytes(header) + content.tobytes()))
    return Study("fashion-mnist", data, tmp_path_factory.mktemp("work") / "fashion-mnist", COURSE)


def rows_of(*makers: Maker, ipcs: tuple[int, ...] = (1,), labels: tuple[Labels, ...] = ("hard",)) -> list[Row]:
    return list_rows(["fashion-mnist"], ipcs, makers, labels)


def result(row: Row, *values: float) -> Result:
    return Result(row, Course("quick", None, None, len(values)), values, 1.0, "abc", "2 cores")


def run(study: Study, rows: list[Row], file: Path, seconds: float = np.inf) -> None:
    measure({"fashion-mnist": study}, Choice(rows, study.course), file, seconds)


def test_a_second_run_measures_nothing_again(study: Study, tmp_path: Path) -> None:
    file, rows = tmp_path / "results.jsonl", rows_of(DDOQ, RANDOM)
    run(study, rows, file)
    found = file.read_bytes()
    assert set(read_results(file, COURSE)) == set(rows)
    run(study, rows, file)
    assert file.read_bytes() == found


def test_a_run_killed_while_writing_is_taken_up_and_comes_to_the_same(study: Study, tmp_path: Path) -> None:
    file, rows = tmp_path / "results.jsonl", rows_of(DDOQ, RANDOM, MEDOID)
    run(study, rows, file)
    whole, lines = read_results(file, COURSE), file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:40])
    run(study, rows, file)
    again = read_results(file, COURSE)
    assert file.read_bytes().startswith(lines[0])
    assert {row: each.values for row, each in again.items()} == {row: each.values for row, each in whole.items()}


def test_no_row_is_begun_when_the_time_is_over(study: Study, tmp_path: Path) -> None:
    run(study, rows_of(DDOQ), tmp_path / "results.jsonl", seconds=0)
    assert not (tmp_path / "results.jsonl").exists()


def test_results_of_another_course_do_not_count(tmp_path: Path) -> None:
    (row,) = rows_of(DDOQ)
    append_results(tmp_path / "results.jsonl", [result(row, 0.5, 0.6)])
    assert read_results(tmp_path / "results.jsonl", Course("quick", None, None, 2))
    assert not read_results(tmp_path / "results.jsonl", Course("quick", 100, None, 2))


def test_each_seed_has_a_draw_of_its_own_and_weights_have_mean_one(study: Study) -> None:
    (row,) = (each for each in rows_of(RANDOM, ipcs=(10,)) if each.weights == "share")
    first, second = study.training_sets(row)
    assert not first.images.equal(second.images)
    for label in range(10):
        mine = first.weights[first.labels == label]
        assert len(mine) == 10
        assert float(mine.mean()) == pytest.approx(1)
        assert float(mine.std()) > 0


def test_rows_that_matter_most_come_first() -> None:
    rows = list_rows(["fashion-mnist", "cifar-10"], (1, 10, 50), MAKERS, LABELS)
    assert len(rows) == len(set(rows)) == 2 * 2 * 6 * (1 + 3 + 3)
    first = [row for row in rows if row.maker in (DDOQ, RANDOM) and row.ipc < 50]
    assert rows[: len(first)] == sorted(first, key=lambda row: row.labels)
    assert {row.ipc for row in rows[-len(rows) * 3 // 7 :]} == {50}


def test_rows_trained_together_have_one_dataset_number_of_images_and_kind_of_labels() -> None:
    rows = list_rows(["fashion-mnist", "cifar-10"], (1, 10, 50), MAKERS, LABELS)
    groups = list(in_groups(rows, 4))
    assert [row for group in groups for row in group] == rows
    assert max(map(len, groups)) == 4
    assert all(len({(row.dataset, row.ipc, row.labels) for row in group}) == 1 for group in groups)


def test_the_page_says_where_ddoq_loses_ties_and_wins() -> None:
    rows = rows_of(DDOQ, MEDOID, RANDOM, Maker("herding", "real"))
    values = {DDOQ: (0.50, 0.51, 0.52), MEDOID: (0.60, 0.61, 0.62), RANDOM: (0.30, 0.31, 0.32)}
    results = {row: result(row, *values.get(row.maker, (0.40, 0.51, 0.62))) for row in rows}
    page = render(Board(rows, results), Head("2026-11-21", "scoreboard.py", Course("quick", None, None, 3), ""))
    assert (
        "- Fashion-MNIST, 1 image a class, hard labels, decoded pixels, 51.0 ± 1.0: worse than medoids, real images "
        "61.0 ± 1.0; not distinguishable from herding, real images 51.0 ± 11.0; better than random, real images "
        "31.0 ± 1.0."
    ) in page.partition("## Where DDOQ does not win")[2]
    assert "| medoids, real images | **61.0 ± 1.0** |" in page
    assert "| +20.0 ± 0.0 | +14.1 | better; by more than 2 deviations |" in page
    assert "2026-11-21, commit abc; 2 cores" in page


def test_rows_not_measured_yet_are_dashes() -> None:
    rows = rows_of(DDOQ, RANDOM, ipcs=(10,), labels=LABELS)
    page = render(Board(rows, {}), Head("", "", COURSE, ""))
    assert "0 of 12 rows measured" in page
    assert "| random, real images | - | - | - | - | - | - |" in page


def test_the_page_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scoreboard.py", "--data", "/home/me/data", "--work=/tmp/work", "--quick"])
    assert command() == "python benchmarks/scoreboard.py --data data --work=work --quick"
