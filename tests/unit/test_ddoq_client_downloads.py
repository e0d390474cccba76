"""Downloads of the Python client: resumed, compared, and never outside the folder."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ddoq_client import ArtifactError, ChecksumError, NotAnsweredError, NotDdoqError, UnsafeNameError
from ddoq_client.downloads import download, part_of, path_in
from ddoq_client.retries import USUAL
from ddoq_client.steps import Answer, BrokenError
from tests.flows import Network, answer, broken, network

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def listing(*names: str, sha256: str = SHA256) -> Answer:
    return answer(200, {"data": [{"name": name, "size_bytes": len(CONTENT), "sha256": sha256} for name in names]})


def rest(start: int) -> Answer:
    return answer(206, content_range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")


def bring(folder: Path, *comes: Answer | BrokenError | bytes, **options: Any) -> tuple[Network, tuple[Path, ...]]:
    """Download `archive.zip` of a job, as the network lets it."""
    there = network([listing("archive.zip"), *comes])
    return there, there.run(download("job_1", folder, None, **options))


def ranges(there: Network) -> list[str | None]:
    return [request.headers.get("Range") for request in there.sent[1:]]


def test_a_file_comes_whole(tmp_path: Path) -> None:
    _, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert (path, path.read_bytes()) == (tmp_path / "archive.zip", CONTENT)
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    comes = (answer(200), CONTENT[:HALF], broken(), rest(HALF), CONTENT[HALF:])
    there, (path,) = bring(tmp_path, *comes, on_bytes=lambda *told: seen.append(told))
    assert path.read_bytes() == CONTENT
    assert ranges(there) == [None, f"bytes={HALF}-"]
    assert there.sent[2].headers["If-Range"] == f'"{SHA256}"'
    assert seen == [("archive.zip", n, len(CONTENT)) for n in (0, HALF, len(CONTENT))]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path: Path) -> None:
    with pytest.raises(NotAnsweredError):
        bring(tmp_path, answer(200), CONTENT[:HALF], *[broken()] * (2 * USUAL.tries * USUAL.tries))
    there, (path,) = bring(tmp_path, rest(HALF), CONTENT[HALF:])
    assert (ranges(there), path.read_bytes()) == ([f"bytes={HALF}-"], CONTENT)


def test_an_answer_that_ends_early_is_gone_on_with(tmp_path: Path) -> None:
    there, (path,) = bring(tmp_path, answer(200), CONTENT[:HALF], b"", rest(HALF), CONTENT[HALF:])
    assert (ranges(there), path.read_bytes()) == ([None, f"bytes={HALF}-"], CONTENT)


def test_a_whole_file_instead_of_its_rest_is_taken_as_such(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", SHA256).write_bytes(CONTENT[:HALF])
    _, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_all_there_is_only_compared(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", SHA256).write_bytes(CONTENT)
    there, (path,) = bring(tmp_path)
    assert (ranges(there), path.read_bytes()) == ([], CONTENT)


def test_a_file_that_is_there_is_not_brought_again(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(CONTENT)
    assert ranges(bring(tmp_path)[0]) == []


@pytest.mark.parametrize("old", [b"", CONTENT[::-1]])
def test_a_file_of_another_content_is_replaced(tmp_path: Path, old: bytes) -> None:
    (tmp_path / "archive.zip").write_bytes(old)
    _, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert path.read_bytes() == CONTENT


def test_a_part_of_another_file_is_left_alone(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", "0" * 64).write_bytes(b"something else")
    there, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert (ranges(there), path.read_bytes()) == ([None], CONTENT)


def test_a_part_that_is_too_long_is_dropped(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", SHA256).write_bytes(CONTENT + b"more")
    there, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert (ranges(there), path.read_bytes()) == ([None], CONTENT)


@pytest.mark.parametrize("wrong", [CONTENT[::-1], CONTENT + b"more"])
def test_other_bytes_than_promised_are_refused(tmp_path: Path, wrong: bytes) -> None:
    with pytest.raises(ChecksumError, match=r"^archive\.zip came with"):
        bring(tmp_path, answer(200), wrong)
    assert not (tmp_path / "archive.zip").exists()
    _, (path,) = bring(tmp_path, answer(200), CONTENT)
    assert path.read_bytes() == CONTENT


def test_a_range_that_begins_elsewhere_is_refused(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", SHA256).write_bytes(CONTENT[:HALF])
    with pytest.raises(NotDdoqError, match="other bytes than were asked for"):
        bring(tmp_path, rest(HALF + 1))


def test_an_object_store_is_asked_without_the_tag_that_it_does_not_know(tmp_path: Path) -> None:
    part_of(tmp_path / "archive.zip", SHA256).write_bytes(CONTENT[:HALF])
    there, (path,) = bring(tmp_path, answer(307, location="https://s3/key?signed"), rest(HALF), CONTENT[HALF:])
    assert path.read_bytes() == CONTENT
    assert there.sent[2].path == "https://s3/key?signed"
    assert dict(there.sent[2].headers) == {"Accept-Encoding": "identity", "Range": f"bytes={HALF}-"}


def test_redirects_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDdoqError, match="without end"):
        bring(tmp_path, *[answer(307, location="/again")] * 9)


def test_only_what_is_named_is_brought(tmp_path: Path) -> None:
    there = network([listing("archive.zip", "report.json"), answer(200), CONTENT])
    assert there.run(download("job_1", tmp_path, ["report.json"])) == (tmp_path / "report.json",)


def test_a_name_that_the_job_has_not_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no file 'images\.zip'; it has archive\.zip"):
        network([listing("archive.zip")]).run(download("job_1", tmp_path, ["images.zip"]))


def test_names_with_folders_lie_below_the_folder(tmp_path: Path) -> None:
    assert path_in(tmp_path, "plots/accuracy.svg") == tmp_path / "plots" / "accuracy.svg"


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "plots/../../out", "..\\out", "", "C:out", "a/C:out", "new\nline", "nul\0"]
)
def test_a_name_that_may_lead_out_of_the_folder_stops_everything(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeNameError, match="nothing is downloaded"):
        network([listing("archive.zip", name)]).run(download("job_1", tmp_path / "in", None))
    assert not (tmp_path / "in").exists()


def test_a_link_does_not_lead_out_of_the_folder_either(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "plots").symlink_to(tmp_path)
    with pytest.raises(UnsafeNameError):
        path_in(folder, "plots/accuracy.svg")


def test_a_checksum_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDdoqError):
        network([listing("archive.zip", sha256="../../x")]).run(download("job_1", tmp_path, None))
