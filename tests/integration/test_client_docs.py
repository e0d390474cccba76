"""docs/client.md, word for word, against a service that runs jobs."""

from pathlib import Path

import pytest

from ddoq_client import Client, read_sheet
from tests.integration.launch import launch
from tests.pages import ROOT, read_blocks
from tests.pictures import members, write_zip

PAGE = ROOT / "docs" / "client.md"
BLOCKS = [block for block in read_blocks(PAGE) if block.language == "python"]


def test_every_block_runs_in_the_order_of_the_page(
    server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zip(tmp_path / "flowers.zip", members())
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    with launch(server_folder) as launched:
        for name, value in launched.variables().items():
            monkeypatch.setenv(name, value)
        for block in BLOCKS:
            exec(compile(block.text, "docs/client.md", "exec"), known)
        with Client() as client:
            newest, oldest = client.jobs()
            sheet = oldest.images()
    assert (newest.status, oldest.status, oldest.labels) == ("succeeded", "succeeded", {"team": "vision"})
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("result", "again")]
    assert names[0] == names[1]
    assert sheet == read_sheet(tmp_path / "result" / "archive.zip")
    assert [shown.n_images for shown in sheet.classes] == [2, 2, 2]
    assert "dataset.unknown_scheme: " in capsys.readouterr().out


def test_no_block_is_left_out() -> None:
    assert len(BLOCKS) == PAGE.read_text("utf-8").count("\n```") // 2
