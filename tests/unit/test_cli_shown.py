"""How a job, a plan and values read."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.exits import Commands, Exit, with_hint
from cli.progress import show_bytes, show_stages
from cli.shown import CLASSES_SHOWN, in_full, in_plan, state_of
from cli.words import in_columns, in_time
from ddoq_client.views import Artifact, JobView, Plan

SENT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENCODING = {"stage": "encode", "status": "running", "done": 39, "total": 100, "seconds": 75.2}


def job(**changes: Any) -> JobView:
    said = {"id": "job_7", "status": "queued", "stage": "encode", "created_at": SENT, "stages": [ENCODING]}
    return JobView.model_validate({**said, **changes})


def plan(n_classes: int, **changes: Any) -> Plan:
    classes = [{"name": f"class-{number}", "train": 1200, "test": 3} for number in range(n_classes)]
    stages = [
        {"stage": "read", "blocks": 1, "units": 1, "estimate": {"seconds": 90, "peak_bytes": 2**30, "basis": "3 jobs"}},
        {"stage": "encode", "blocks": 1, "units": 2, "estimate": {"basis": "nothing yet"}},
        {"stage": "package", "blocks": 1, "units": 1, "estimate": {"basis": "nothing yet"}},
    ]
    dataset = {"format": "folders", "n_bytes": 2048, "classes": classes, "left_out": ["2 files are no images."]}
    said = {"config": {}, "dataset": dataset, "archives": [{"name": "ipc-10", "n_images": 30}], "stages": stages}
    return Plan.model_validate({**said, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"queue_position": 3}, "job_7 is queued: number 3 in the queue"),
        ({"status": "running"}, "job_7 is running: encode 39%"),
        ({"status": "cancelling"}, "job_7 is cancelling: encode"),
        (
            {"status": "cancelled", "finished_at": SENT + timedelta(seconds=5)},
            "job_7 was cancelled 5.0 s after it was sent",
        ),
        (
            {"status": "failed", "error": {"code": "a.b", "message": "it broke", "stage": "read", "hint": "Mend it."}},
            "job_7 failed in read: a.b: it broke\nHint: Mend it.",
        ),
        ({"status": "expired", "error": {"code": "a.b", "message": "too late"}}, "job_7 expired: a.b: too late"),
    ],
)
def test_the_state_of_a_job_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert state_of(job(**changes)) == sentence


def test_a_job_is_told_in_the_order_in_which_one_asks() -> None:
    figures = {
        "accuracy.distilled.mean": 0.9,
        "accuracy.distilled.deviation": 0.01,
        "compression.bytes": 4.0,
        "bytes.distilled": 100.0,
        "bytes.distilled_images": 90.0,
        "bytes.weights": 10.0,
        "bytes.train": 400.0,
    }
    files = [Artifact(name="archive.zip", size_bytes=2048, sha256="ab" * 32)]
    done = job(status="succeeded", finished_at=SENT + timedelta(hours=2), figures=figures)
    told = in_full(done, files)
    marks = ("2 h 0 min", "encode", "distilled", "4.0 times smaller", "archive.zip", "ddoq download job_7")
    places = [told.index(mark) for mark in marks]
    assert places == sorted(places)


def test_what_a_set_is_worth_in_bytes_is_told_for_each_budget() -> None:
    names = {"compression.bytes": 4.0, "bytes.distilled": 1.0, "bytes.distilled_images": 1.0, "bytes.weights": 1.0}
    each = {f"ipc-{n}.{name}": value for n in (2, 3) for name, value in {**names, "bytes.train": 4.0}.items()}
    told = in_full(job(status="succeeded", figures=each), [])
    assert ("ipc-2: In bytes" in told, "ipc-3: In bytes" in told) == (True, True)


def test_a_plan_tells_what_is_known_and_what_is_not() -> None:
    told = in_plan(plan(3, warnings=["few test images"], not_checked=["whether images decode"]))
    assert told.startswith("dataset: folders, 2 KiB, 3 classes\nmakes: 30 images as ipc-10\n")
    rows = [line.split("  ") for line in told.splitlines()]
    assert ["class-2", "1,200", "3"] in [list(filter(None, row)) for row in rows]
    assert ["read", "1", "1 min 30 s", "1 GiB"] in [[cell.strip() for cell in row if cell] for row in rows]
    for sentence in ("warning: few test images", "warning: 2 files are no images.", "how long it takes is not known"):
        assert sentence in told.splitlines()


def test_a_plan_says_once_of_stages_with_one_basis_where_their_numbers_come_from() -> None:
    assert "\n\nread: 3 jobs\nencode, package: nothing yet\n\n" in in_plan(plan(3))


def test_a_plan_of_many_classes_stays_short() -> None:
    told = in_plan(plan(1000, seconds=90.0))
    assert told.count("class-") == CLASSES_SHOWN
    assert "... and 980 more classes" in told.splitlines()
    assert "about 1 min 30 s in all" in told.splitlines()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (192, "3 min 12 s"), (3600, "1 h 0 min")]
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


def test_columns_are_aligned_and_lines_end_with_their_last_cell() -> None:
    assert in_columns([("a", "bb", ""), ("aaa", "b", "c")]) == "a    bb\naaa  b   c"


def test_names_from_elsewhere_do_not_steer_the_terminal() -> None:
    assert "\x1b" not in in_columns([("\x1b[2Jgone",)]) + with_hint("\x1b[2Jgone", "\x1b]0;title\x07")


def test_bytes_are_shown_at_a_terminal_under_the_name_of_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    with show_bytes() as on_bytes:
        on_bytes("[red]archive.zip", 500, 2048)
        on_bytes("[red]archive.zip", 2048, 2048)
    told = capsys.readouterr()
    assert (told.out, "[red]archive.zip" in told.err, "2 KiB of 2 KiB" in told.err) == ("", True, True)


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_each_file_has_one_line_however_narrow_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    with show_bytes() as on_bytes:
        for done in (0, 1, 500_000):
            on_bytes("archive.zip", done, 500_000)
            time.sleep(0.01)  # there is a speed now
        on_bytes("report.html", 128_700, 128_700)
    last = capsys.readouterr().err.rpartition("\x1b[2K")[2]
    assert [line.split()[0] for line in last.splitlines() if "iB" in line] == ["archive.zip", "report.html"]


def test_stages_are_bars_at_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show_stages(["encode"]) as stages:
        stages.show("encode", 7, 9)
    assert "7/9" in capsys.readouterr().err


def test_ctrl_c_ends_any_command_with_its_exit_code_and_without_a_traceback() -> None:
    @click.command()
    def sleep() -> None:
        raise KeyboardInterrupt

    ended = CliRunner().invoke(Commands(commands=[sleep]), ["sleep"])
    assert (ended.exit_code, ended.stderr) == (Exit.INTERRUPTED, "\ninterrupted\n")
