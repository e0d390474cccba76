"""How much an archive may hold: what is listed is kept in memory, and images hardly shrink."""

from collections.abc import Iterator
from typing import Final

from ddoq.errors import DamagedArchiveError, TooManyFilesError
from ddoq.sources import Entry, LocalFile, Member

LONG_NAME: Final = "files whose names are longer than 1,024 characters"
MAX_MEMBERS: Final = 5_000_000
MAX_NAME: Final = 1024
_MAX_NAMES_BYTES: Final = 2**29
_SHOWN: Final = 100  # of a long name
_MAX_RATIO: Final = 200  # an archive that claims to unpack to more is a bomb
_RATIO_FREE_BYTES: Final = 2**30


def bounded(entries: Iterator[tuple[Entry, bytes]]) -> Iterator[tuple[Entry, bytes]]:
    """Refuse more members, and longer names, than can be listed in memory; each entry comes with bytes beside it.

    Raises:
        TooManyFilesError: there are more.
    """
    n_bytes = 0
    for n_before, (entry, content) in enumerate(entries):
        name = entry.member.name
        if len(name) > MAX_NAME:
            yield Entry(Member(f"{name[:_SHOWN]}…", 0), refusal=LONG_NAME), b""
            continue
        n_bytes += len(name)
        if n_before >= MAX_MEMBERS or n_bytes > _MAX_NAMES_BYTES:
            raise TooManyFilesError(
                f"the archive holds more than {MAX_MEMBERS} members or {_MAX_NAMES_BYTES >> 20} MiB of names; "
                f"at {name[:_SHOWN]!r} the listing ends"
            )
        yield entry, content


def refuse_bomb(file: LocalFile, unpacked: int) -> None:
    """Raise DamagedArchiveError when a file claims to unpack to more bytes than images would."""
    if unpacked > _RATIO_FREE_BYTES + _MAX_RATIO * file.size:
        raise DamagedArchiveError(
            f"{file.size} bytes claim to unpack to {unpacked}, over {_MAX_RATIO} times as many; send an honest archive"
        )
