import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import RangeNotSatisfiableError
from api.ranges import ByteRange, applies, is_known, parse_range

BODY = b"0123456789"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=0-", BODY),
        ("bytes=3-5", b"345"),
        ("bytes=3-3", b"3"),
        ("bytes=9-", b"9"),
        ("bytes=8-99", b"89"),
        ("bytes=-3", b"789"),
        ("bytes=-99", BODY),
        ("Bytes = 1-2", b"12"),
        ("bytes= 1-2 ", b"12"),
    ],
)
def test_a_single_range_names_the_bytes_it_says(header: str, expected: bytes) -> None:
    found = parse_range(header, len(BODY))
    assert found is not None
    assert BODY[found.start : found.stop] == expected


@pytest.mark.parametrize(
    "header",
    ["bytes=10-", "bytes=99-100", "bytes=5-2", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=1", "bytes=²-"],
)
def test_a_range_that_holds_no_byte_or_is_malformed_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        parse_range(header, len(BODY))
    assert refused.value.headers == {"Content-Range": "bytes */10"}


@pytest.mark.parametrize("header", [None, "", "lines=1-2", "bytes", "bytes=0-1,3-4", "bytes=0-1, 99-"])
def test_no_range_another_unit_and_several_ranges_mean_the_whole(header: str | None) -> None:
    assert parse_range(header, len(BODY)) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError):
        parse_range(header, 0)


def test_content_range_counts_the_last_byte_in() -> None:
    assert ByteRange(3, 6, 10).content_range == "bytes 3-5/10"


@given(header=st.one_of(st.text(), st.from_regex(r"bytes=\d{0,25}-\d{0,25}")), size=st.integers(0, 2**40))
def test_whatever_is_asked_for_lies_within_the_body(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except RangeNotSatisfiableError:
        return
    assert found is None or 0 <= found.start < found.stop <= size


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (None, True),
        ('"abc"', True),
        ('"other"', False),
        ('W/"abc"', False),
        ("Wed, 21 Oct 2026 07:28:00 GMT", False),
    ],
)
def test_a_range_is_honoured_only_for_this_very_body(if_range: str | None, expected: bool) -> None:
    assert applies(if_range, '"abc"') is expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ('"x"', False),
        ("abc", False),
    ],
)
def test_a_body_is_known_when_its_tag_is_listed(if_none_match: str | None, expected: bool) -> None:
    assert is_known(if_none_match, '"abc"') is expected
