"""Pages whose commands ask a service, word for word: one service has done a job for them."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ddoq_client import Client, Job
from tests.integration.launch import environment, launch
from tests.pages import ROOT, play, read_blocks, runner_of
from tests.pictures import members, write_zip

HERE = str(Path(__file__).relative_to(ROOT))
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if runner_of(page) == HERE]
CONFIG = {"images_per_class": 2, "prior": {"kind": "pixels", "resolution": 16}, "evaluation": "none"}
FILES = ("flowers.zip", "config.json")


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Answer a folder with what the pages send, and the variables that they name."""
    with TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_zip(folder / "flowers.zip", members())
        with (
            launch(folder / "data", DDOQ_DATASET_BUCKETS="datasets") as launched,
            launched.client() as client,
        ):
            config = {"dataset": {"uri": client.upload(folder / "flowers.zip").uri}, **CONFIG}
            (folder / "config.json").write_text(json.dumps(config))
            job = client.submit(config).wait()
            yield folder, {**environment(), **launched.variables(), **first_image(client, job, folder)}


def first_image(client: Client, job: Job, folder: Path) -> dict[str, str]:
    """Say of which job, and where in its archive, the first image is, by the index that the service offers."""
    (path,) = client.download(job.id, folder / "index", ["images.json"])
    first = json.loads(path.read_text())["classes"][0]
    return {"JOB": job.id, "OFFSET": str(first["offsets"][0]), "SIZE": str(first["sizes"][0])}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_commands_of_the_page_hold_word_for_word(
    page: Path, asked: tuple[Path, Mapping[str, str]], tmp_path: Path
) -> None:
    folder, variables = asked
    blocks = list(read_blocks(page))
    if shutil.which("jq") is None and any("jq " in block.text for block in blocks):
        pytest.skip("the page takes answers apart by jq, which is not installed")
    for name in FILES:
        shutil.copy(folder / name, tmp_path)
    play(blocks, tmp_path, variables)
    images = [image.read_bytes()[:4] for image in tmp_path.glob("image.png")]
    assert images == [b"\x89PNG"] * sum(block.text.count("-o image.png") for block in blocks)
