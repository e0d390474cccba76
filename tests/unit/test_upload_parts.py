"""Into which parts a file is cut."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.records import Upload, UploadPart, UploadState
from jobs.settings import MOST_UPLOAD_BYTES
from jobs.upload_errors import PartError, SizeNeededError, UploadIncompleteError
from jobs.upload_parts import LEAST_PART_BYTES, MOST_PARTS, n_parts, part_bytes, part_size, require_whole

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLOAD = Upload("upload_0", "ada", UploadState.OPEN, None, None, 3 * LEAST_PART_BYTES, None, None, None, NOW, NOW)
THERE = [UploadPart(number, LEAST_PART_BYTES, f'"tag-{number}"') for number in (1, 2, 3)]


@given(st.integers(1, MOST_UPLOAD_BYTES))
def test_the_parts_of_a_file_are_what_s3_takes_and_make_the_whole(size_bytes: int) -> None:
    upload, n = replace(UPLOAD, size_bytes=size_bytes), n_parts(size_bytes)
    assert 1 <= n <= MOST_PARTS
    assert LEAST_PART_BYTES <= part_size(size_bytes) <= 64 * 2**20
    assert (n - 1) * part_size(size_bytes) + part_bytes(upload, n) == size_bytes
    assert 1 <= part_bytes(upload, n) <= part_bytes(upload, 1) <= part_size(size_bytes)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_part_that_a_file_does_not_have_is_refused(number: int) -> None:
    with pytest.raises(PartError, match="parts 1 to 3"):
        part_bytes(UPLOAD, number)


def test_parts_need_the_size_of_the_whole() -> None:
    with pytest.raises(SizeNeededError):
        part_bytes(replace(UPLOAD, size_bytes=None), 1)


@pytest.mark.parametrize("given", [None, {1: '"tag-1"', 2: "tag-2", 3: "tag-3"}])
def test_a_file_is_whole_when_all_its_parts_are_there(given: dict[int, str] | None) -> None:
    require_whole(UPLOAD, THERE, given)


@pytest.mark.parametrize(
    ("there", "given", "words"),
    [
        (THERE[:1], None, "2 of 3 parts are missing, the first is 2"),
        ([*THERE[:2], replace(THERE[2], size_bytes=1)], None, "part 3 has 1 bytes"),
        (THERE, {1: "tag-1", 2: "other", 3: "tag-3"}, "part 2 is not what you say"),
        (THERE, {1: "tag-1", 2: "tag-2"}, "part 3 is not what you say"),
        ([], None, "the first is 1"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(there: list[UploadPart], given: dict[int, str] | None, words: str) -> None:
    with pytest.raises(UploadIncompleteError, match=words):
        require_whole(UPLOAD, there, given)
