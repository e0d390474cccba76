"""Into which parts a file is cut, and whether they are all there. Pure."""

from collections.abc import Mapping, Sequence

from jobs.records import Upload, UploadPart
from jobs.upload_errors import PartError, SizeNeededError, UploadIncompleteError

MEBIBYTE = 2**20
LEAST_PART_BYTES = 8 * MEBIBYTE  # S3 takes 5 MiB at least, and memory holds a part
MOST_PARTS = 10_000  # that S3 takes


def part_size(size_bytes: int) -> int:
    """Say how many bytes each part of a file has, but for the last: whole MiB, 8 to 64 of what is taken."""
    return max(LEAST_PART_BYTES, -(-size_bytes // (MOST_PARTS * MEBIBYTE)) * MEBIBYTE)


def n_parts(size_bytes: int) -> int:
    """Count the parts of a file."""
    return -(-size_bytes // part_size(size_bytes))


def part_bytes(upload: Upload, number: int) -> int:
    """Say how many bytes a part of an upload has to have.

    Raises:
        SizeNeededError: nobody has said how large the file is.
        PartError: it has no part of this number.
    """
    if upload.size_bytes is None:
        raise SizeNeededError("parts need the size of the whole; begin anew with size_bytes")
    n, size = n_parts(upload.size_bytes), part_size(upload.size_bytes)
    if not 1 <= number <= n:
        raise PartError(f"there is no part {number}; a file of {upload.size_bytes} bytes has the parts 1 to {n}")
    return min(size, upload.size_bytes - (number - 1) * size)


def require_whole(upload: Upload, there: Sequence[UploadPart], given: Mapping[int, str] | None) -> None:
    """Check that the parts that are there make the file.

    Args:
        upload: What it is to be.
        there: The parts that the object store has.
        given: ETags by number as the caller had them, if it says.

    Raises:
        UploadIncompleteError: parts are missing, of another size, or others than the caller had.
    """
    found = {part.number: part for part in there}
    whole = range(1, n_parts(upload.size_bytes) + 1) if upload.size_bytes else range(1, 2)
    if missing := [number for number in whole if number not in found]:
        raise UploadIncompleteError(f"{len(missing)} of {len(whole)} parts are missing, the first is {missing[0]}")
    for number, part in found.items():
        wanted = part_bytes(upload, number)
        if part.size_bytes != wanted:
            raise UploadIncompleteError(f"part {number} has {part.size_bytes} bytes, not {wanted}; send it again")
    if given is None:
        return
    unequal = [number for number in found.keys() | given.keys() if not _is_same(found.get(number), given.get(number))]
    if unequal:
        raise UploadIncompleteError(f"part {min(unequal)} is not what you say it is; compare it with GET")


def _is_same(part: UploadPart | None, etag: str | None) -> bool:
    return part is not None and etag is not None and part.etag.strip('"') == etag.strip('"')
