"""The images of a Parquet file, row by row, with the class of each row."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ddoq.errors import DamagedArchiveError
from ddoq.image_rules import UnreadableImageError
from ddoq.layouts import Encoded
from ddoq.sources import LocalFile

Labels = npt.NDArray[np.int32]
_ROWS_AT_A_TIME: Final = 16


@dataclass(frozen=True)
class Part:
    """A Parquet file as part of a split: the class of each row, -1 for rows that are not in the split."""

    file: LocalFile
    first_row: int
    labels: Labels

    def key(self, row: int) -> str:
        return f"row-{self.first_row + row:07d}"


def read_part(part: Part, column: str, rows: npt.NDArray[np.int64], keys: Collection[str] | None) -> Iterator[Encoded]:
    """Read some rows, which rise, of a file; only those with these keys, if any are given."""
    part.file.require_unchanged()
    with open_parquet(part.file) as parquet:
        row = 0
        for group in range(parquet.num_row_groups):
            end = row + parquet.metadata.row_group(group).num_rows
            within = rows[np.searchsorted(rows, row) : np.searchsorted(rows, end)].tolist()
            wanted = {i for i in within if keys is None or part.key(i) in keys}
            images = _read_group(parquet, group, column) if wanted else ()
            for i, image in zip(range(row, max(wanted, default=row) + 1), images, strict=False):
                if i in wanted:
                    yield Encoded(part.key(i), int(part.labels[i]), partial(_bytes_of, image), _size_of(image))
            row = end


def _read_group(parquet: Any, group: int, column: str) -> Iterator[Any]:
    batches = parquet.iter_batches(_ROWS_AT_A_TIME, row_groups=[group], columns=[column], use_threads=False)
    for batch in batches:
        images = batch.column(0)
        yield from pc.struct_field(images, "bytes") if pa.types.is_struct(images.type) else images


def _size_of(image: Any) -> int:
    return image.as_buffer().size if image.is_valid else 0


def _bytes_of(image: Any) -> bytes:
    data = image.as_py()
    if not isinstance(data, bytes):
        raise UnreadableImageError("the row holds no bytes of an image")
    return data


@contextmanager
def open_parquet(file: LocalFile) -> Iterator[Any]:
    """Open a Parquet file for as long as the block.

    Raises:
        DamagedArchiveError: not readable as Parquet, now or within the block.
    """
    try:
        # a buffer makes Arrow read a column as a stream instead of a whole row group at once
        with pq.ParquetFile(file.path, buffer_size=1 << 20, pre_buffer=False) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DamagedArchiveError(f"{file.path.name!r} cannot be read as Parquet: {reason}; write it again") from error
