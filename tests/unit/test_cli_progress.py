"""What is shown while something runs, and of accuracies at the end."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from cli.here import left_of
from cli.progress import StageBars, StageLines, accuracy_lines
from ddoq.events import Event, Stage
from ddoq.manifests import write_manifest

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_bars_show_how_far_each_stage_is_in_the_order_of_the_flow() -> None:
    screen = io.StringIO()
    with StageBars([Stage.READ, Stage.ENCODE], Console(file=screen, force_terminal=True, width=100)) as bars:
        bars.on_event(Event(Stage.READ, 3, 3))
        bars.on_event(Event(Stage.ENCODE, 4, 10))
    *_, read, encode = (line for line in screen.getvalue().splitlines() if "read" in line or "encode" in line)
    assert ("3/3" in read, "4/10" in encode) == (True, True)


@pytest.mark.parametrize("columns", [50, 60, 200])
def test_bars_leave_room_for_what_ctrl_c_writes_behind_them(columns: int) -> None:
    screen = io.StringIO()
    with StageBars([Stage.ENCODE], Console(file=screen, force_terminal=True, no_color=True, width=columns)) as bars:
        bars.on_event(Event(Stage.ENCODE, 4, 1_281_167))
    (line, *_) = (line for line in reversed(ESCAPE.sub("", screen.getvalue()).splitlines()) if "encode" in line)
    assert "4/1281167" in line
    assert len(line.strip("\r")) <= columns - len("^C")


def test_a_bar_shows_the_seconds_that_the_service_counted() -> None:
    screen = io.StringIO()
    with StageBars([Stage.TRAIN], Console(file=screen, force_terminal=True, width=100)) as bars:
        bars.show(Stage.TRAIN, 9, 9, 93.4)
    assert "0:01:33" in screen.getvalue()


def test_what_is_complete_in_a_folder_is_said_and_has_no_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left_of([Stage.READ, Stage.ENCODE], tmp_path) == [Stage.READ, Stage.ENCODE]
    assert capsys.readouterr().err == ""
    (tmp_path / "read").mkdir()
    write_manifest(tmp_path / "read", None)
    assert left_of([Stage.READ, Stage.ENCODE], tmp_path) == [Stage.ENCODE]
    assert capsys.readouterr().err == f"complete in {tmp_path}: read\n"


def test_lines_say_once_that_a_stage_has_begun_and_once_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    lines = StageLines()
    for done, total in ((0, 0), (1, 1200), (700, 1200), (1200, 1200), (1200, 1200)):
        lines.on_event(Event(Stage.ENCODE, done, total))
    assert capsys.readouterr().err == "encode begins, 1,200 to do\nencode done\n"


def test_accuracies_are_listed_the_best_first() -> None:
    figures = {
        "accuracy.random real.mean": 0.7,
        "accuracy.random real.deviation": 0.02,
        "accuracy.distilled.mean": 0.85,
        "accuracy.distilled.deviation": 0.01,
        "distortion": 3.0,
    }
    assert [line.split()[0] for line in accuracy_lines(figures).splitlines()] == ["contender", "distilled", "random"]


def test_where_nothing_was_evaluated_that_is_said() -> None:
    assert accuracy_lines({"distortion": 3.0}) == "no accuracies: evaluation is none, so no student was trained"


def test_accuracies_of_a_sweep_are_listed_by_budget() -> None:
    figures = {
        f"{budget}.accuracy.{contender}.{value}": 0.5
        for budget in ("ipc-10", "ipc-50")
        for contender in ("distilled", "random real")
        for value in ("mean", "deviation")
    }
    heads = [block.split()[0] for block in accuracy_lines(figures).split("\n\n")]
    assert heads == ["ipc-10", "ipc-50"]


def test_accuracies_of_several_networks_are_listed_by_network() -> None:
    figures = {
        f"ipc-10.{place}.distilled.{value}": 0.5
        for place in ("accuracy", "accuracy_by_network.convnet-3", "accuracy_by_network.resnet-18")
        for value in ("mean", "deviation")
    }
    heads = [block.split("  ")[0] for block in accuracy_lines(figures).split("\n\n")]
    assert heads == ["ipc-10 convnet-3", "ipc-10 resnet-18"]
