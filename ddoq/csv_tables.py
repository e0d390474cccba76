"""A CSV that names images and their labels -> labelled images."""

import csv
import hashlib
import io
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ddoq.class_labels import are_numbers, clean_label
from ddoq.columns import SPLIT_COLUMN, first_of, image_columns, label_columns, remark_on
from ddoq.containers import Container
from ddoq.dataset_config import IMAGE_COLUMN, LABEL_COLUMN, DatasetConfig
from ddoq.errors import BadCsvError, NoColumnError
from ddoq.layouts import BAD_NAME, NO_IMAGE, NO_SPLIT, Labelled, Listing, is_plain
from ddoq.left_out import LeftOut
from ddoq.sources import Entry, Load, Member
from ddoq.splits import Split, choose_words, known_words, word_of_folders, word_of_path

SUFFIXES: Final = (".csv", ".tsv")
MAX_BYTES: Final = 128 * 2**20
_MAX_LINE: Final = 2**16
_MAX_LINES: Final = 100
_NO_LABEL: Final = "rows without a label"
_NOT_THERE: Final = "rows whose image is not there"
_NOT_NAMED: Final = "images that no CSV names"


@dataclass(frozen=True)
class _Columns:
    """The places of the columns in a row."""

    image: int
    label: int
    split: int | None


@dataclass(frozen=True)
class _Row:
    label: str
    word: str | None


@dataclass
class _Rows:
    """Rows by the image that they name, of all CSVs."""

    images: Mapping[str, Member]
    words: tuple[str, ...]
    left_out: LeftOut
    of: dict[str, _Row] = field(default_factory=dict)

    def add(self, name: str, path: str, label: str, word: str | None) -> None:
        """Take a row of the CSV `name`; `word` is what its split column says."""
        image = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if not is_plain(image):
            self.left_out.add(BAD_NAME, path)
        elif image not in self.images:
            self.left_out.add(_NOT_THERE, path)
        elif image in self.of:
            raise BadCsvError(f"{name!r} names {path!r}, which a row before it names too; give each image one row")
        elif (clean := clean_label(label)) is None:
            self.left_out.add(_NO_LABEL, path)
        else:
            self.of[image] = _Row(clean, word or self._word_of_places(name, image))

    def _word_of_places(self, name: str, image: str) -> str | None:
        return word_of_path(name, self.words) or word_of_folders(image.split("/")[-2::-1], self.words)


def sort_rows(
    container: Container, listing: Listing, tables: Sequence[Entry], config: DatasetConfig, left_out: LeftOut
) -> Labelled | None:
    """Tell labels by the CSVs beside or above the images.

    Args:
        container: Holds images and CSVs.
        listing: The images.
        tables: The CSVs. Their paths are meant from the folder on in which the CSV lies.
        config: Names columns and splits, where they are not the usual.
        left_out: Takes what is not used.

    Returns:
        None if no CSV names an image that is there.

    Raises:
        BadCsvError: too large, not UTF-8, or two rows for one image.
        NoColumnError: no CSV has the columns that the config names.
        UnknownSplitError: a split of the config is not there.
    """
    n_bytes = sum(entry.member.size for entry in tables)
    if n_bytes > MAX_BYTES:
        raise BadCsvError(f"the CSVs have {n_bytes} bytes in all; at most {MAX_BYTES >> 20} MiB are read")
    rows = _Rows({member.name: member for member in listing.members}, known_words(config.splits), left_out)
    used = _read_all(container, tables, config, rows)
    if not rows.of:
        return None
    for name in rows.images:
        if name not in rows.of:
            left_out.add(_NOT_NAMED, name)
    lines = "".join(f"{entry.member.name}\n{entry.member.size}\n{entry.tag}\n" for entry in used)
    mark = hashlib.sha256(f"csv\n{listing.fingerprint}{lines}".encode()).hexdigest()
    return _labelled(rows, config, mark)


def _read_all(container: Container, tables: Sequence[Entry], config: DatasetConfig, rows: _Rows) -> list[Entry]:
    """Read the CSVs that have the columns; answer which these are."""
    used, headers = [], dict[str, Sequence[str]]()
    with container.opened() as find:
        for entry in tables if container.reads_in_order else sorted(tables, key=lambda entry: entry.member.name):
            lines = _lines(find, entry.member)
            header: Sequence[str] = next(lines, [])
            if columns := _columns(header, config, rows.left_out):
                _read_rows(entry.member.name, lines, columns, rows)
                used.append(entry)
            else:
                headers[entry.member.name] = header
    if not used:
        name, header = next(iter(headers.items()), ("", []))
        raise NoColumnError(
            f"the CSV {name!r} has the columns {list(header)[:20]}; name those of image and label by "
            "dataset.image_column and dataset.label_column, or lay the images in class folders"
        )
    for name in headers:
        rows.left_out.add(NO_IMAGE, name)
    return used


class _Lines:
    """The lines of a CSV: none is long, and a row has few, so that a row is never much memory."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self.n_of_row = text, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(_MAX_LINE):
            self.n_of_row += 1
            if len(line) == _MAX_LINE or self.n_of_row > _MAX_LINES:
                raise csv.Error(f"a row has over {_MAX_LINE} characters in a line, or over {_MAX_LINES} lines")
            yield line


def _lines(find: Callable[[Member], Load], member: Member) -> Iterator[list[str]]:
    try:
        text = io.TextIOWrapper(io.BytesIO(find(member)()), "utf-8-sig", newline="")
        lines = _Lines(text)
        for row in csv.reader(lines, delimiter="\t" if member.name.lower().endswith(".tsv") else ","):
            lines.n_of_row = 0
            yield row
    except (ValueError, csv.Error) as error:  # what a damaged file in an archive raises is a ValueError, too
        raise BadCsvError(f"{member.name!r} cannot be read as UTF-8 CSV: {error}") from error


def _columns(header: Sequence[str], config: DatasetConfig, left_out: LeftOut) -> _Columns | None:
    names = [name.strip() for name in header]
    image = first_of(image_columns(config.image_column), names)
    label = first_of(label_columns(config.label_column), names)
    if image is None or label is None:
        return None
    for taken, default in ((image, IMAGE_COLUMN), (label, LABEL_COLUMN)):
        if names.count(taken) > 1:
            raise BadCsvError(f"the CSV has two columns {taken!r}; give each its own name")
        if default not in names and taken not in {config.image_column, config.label_column}:
            left_out.remark(remark_on(taken, default))
    return _Columns(
        names.index(image), names.index(label), names.index(SPLIT_COLUMN) if SPLIT_COLUMN in names else None
    )


def _read_rows(name: str, lines: Iterator[list[str]], columns: _Columns, rows: _Rows) -> None:
    least = max(columns.image, columns.label, columns.split or 0)
    for line in lines:
        if not line:  # csv gives an empty list for an empty line
            continue
        cells = [*line, *[""] * (least + 1 - len(line))]
        word = None if columns.split is None else cells[columns.split].strip()
        rows.add(name, cells[columns.image].strip(), cells[columns.label], word)


def _labelled(rows: _Rows, config: DatasetConfig, fingerprint: str) -> Labelled:
    chosen = choose_words(config.splits, {row.word for row in rows.of.values() if row.word is not None})
    rows.left_out.remark(*chosen.remarks)
    as_numbers = are_numbers({row.label for row in rows.of.values()})
    found: dict[Split, dict[str, list[Member]]] = {"train": {}, "test": {}}
    for name, row in rows.of.items():
        if (split := chosen.split_of(row.word)) is None:
            rows.left_out.add(NO_SPLIT, name)
            continue
        label = str(int(row.label)) if as_numbers else row.label
        found.setdefault(split, {}).setdefault(label, []).append(rows.images[name])
    return Labelled(found, dict.fromkeys(found, ""), chosen.mark(fingerprint), as_numbers)
