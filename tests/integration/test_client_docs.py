"""docs/client.md, word for word, against a service that runs jobs."""

import re
from pathlib import Path

import pytest

from cli.folder import Endpoint, endpoint_file
from ddoq_client import Client, read_sheet
from tests.integration.launch import launch
from tests.pictures import members, write_zip

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_runs_in_the_order_of_the_page(
    server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zip(tmp_path / "flowers.zip", members())
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    with launch(server_folder):
        endpoint = Endpoint.model_validate_json(endpoint_file(server_folder).read_text())
        key = endpoint.key_file.read_text()
        monkeypatch.setenv("DDOQ_URL", endpoint.url)
        monkeypatch.setenv("DDOQ_API_KEY", key)
        for block in BLOCKS:
            exec(compile(block, "docs/client.md", "exec"), known)
        with Client(endpoint.url, key) as client:
            newest, oldest = client.jobs()
            sheet = oldest.images()
    assert (newest.status, oldest.status, oldest.labels) == ("succeeded", "succeeded", {"team": "vision"})
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("result", "again")]
    assert names[0] == names[1]
    assert sheet == read_sheet(tmp_path / "result" / "archive.zip")
    assert [shown.n_images for shown in sheet.classes] == [2, 2, 2]
    assert "dataset.unknown_scheme: " in capsys.readouterr().out


def test_no_block_is_left_out() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2
