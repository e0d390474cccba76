import pytest

from api.preferences import wait_seconds


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ("Wait = 5", 5),
        ('wait="5"', 5),
        ("wait=5; strict", 5),
        ("respond-async, wait=5", 5),
        ("wait=5, wait=7", 5),
        ("wait=0", 0),
        ("wait=60", 60),
        ("wait=3600", 60),
        ("wait=999999999", 60),
        ("wait=9999999999", None),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=٣", None),
        ("waits=5", None),
        ("await=5", None),
    ],
)
def test_a_preference_to_wait_is_read_and_bounded(header: str | None, expected: int | None) -> None:
    assert wait_seconds(header) == expected
