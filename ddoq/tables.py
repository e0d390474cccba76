"""Parquet files with an image and a label column -> their rows, sorted into classes and splits."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ddoq.class_choice import choose_classes, require_test, require_validation, validation_steps
from ddoq.class_labels import NO_NAME, NOT_MAPPED, ClassLabels, map_classes
from ddoq.dataset_config import DatasetConfig
from ddoq.errors import LabelNamesError, NoColumnError
from ddoq.layouts import Encoded
from ddoq.left_out import LeftOut
from ddoq.parquet_columns import Columns, find_columns
from ddoq.parquet_parts import Labels, Part, open_parquet, read_part
from ddoq.sources import LocalFile, LocalFolder
from ddoq.splits import SPLITS, Chosen, Split, choose_words, known_words, word_of_path

_NO_LABEL: Final = "rows without a label"


@dataclass(frozen=True)
class Table:
    """The rows of one or more Parquet files, sorted into classes and splits. A row's key is its number in its split."""

    class_names: tuple[str, ...]
    parts: Mapping[Split, tuple[Part, ...]]
    held_out: bool
    fingerprint: str
    image_column: str
    n_threads = LocalFolder.n_threads

    @property
    def n_bytes(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in {part.file for parts in self.parts.values() for part in parts})

    def counts(self, split: Split) -> tuple[int, ...]:
        return _count([part.labels for part in self.parts[split]], len(self.class_names))

    @contextmanager
    def opened(self, split: Split, keys: Collection[str] | None, places: range | None) -> Iterator[Iterator[Encoded]]:
        """Give the encoded images of a split in file order."""
        yield (
            image
            for part, rows in self._rows(split, places)
            for image in read_part(part, self.image_column, rows, keys)
        )

    def _rows(self, split: Split, places: range | None) -> Iterator[tuple[Part, npt.NDArray[np.int64]]]:
        """Say which rows of which files are at these places of a split."""
        start = 0
        for part in self.parts[split]:
            rows = np.flatnonzero(part.labels >= 0)
            end = start + len(rows)
            if places is not None:
                rows = rows[max(0, places.start - start) : max(0, places.stop - start)]
            if len(rows):
                yield part, rows
            start = end


@dataclass(frozen=True)
class _LabelColumn:
    """A label column as codes into its distinct values, -1 for none."""

    values: tuple[int | str, ...]
    codes: Labels
    columns: Columns

    def name(self, value: int | str, config: DatasetConfig) -> str | None:
        names = config.label_names or self.columns.hub_names
        if names is None:
            return str(value)
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def open_table(
    files: Mapping[str, LocalFile],
    config: DatasetConfig,
    every: int,
    left_out: LeftOut,
    validation_every: int | None = None,
) -> Table:
    """Read the labels of Parquet files.

    Args:
        files: By name. Those named `train*` and `test*` are the splits; if none is, all are for training.
        config: Columns and classes. Integer labels keep their order and get the names that the schema has for them.
        every: Without test files, each `every`-th row of a class is held out; >= 2.
        left_out: Takes what is not used.
        validation_every: Each such row of a class that is left for training then is held out as validation, at least
            one; None for no such split.

    Raises:
        NoColumnError: a column is missing or of a type that cannot be used.
        DamagedArchiveError: not readable as Parquet.
        NoClassesError, OneClassError, UnknownClassError, EmptyClassError: as for `choose_classes`.
    """
    by_split = _split_files(files, config, left_out)
    columns = {split: [_read_labels(file, config) for file in by_split.files[split]] for split in by_split.files}
    every_column = [column for found in columns.values() for column in found]
    images = _image_column(every_column, left_out)
    classes = _classes(every_column, config)
    counts = {split: _count_names(columns[split], classes) for split in SPLITS}
    names = choose_classes(counts, classes.natural, config.class_names, left_out)
    labels = {split: [_to_labels(column, names, classes, left_out) for column in columns[split]] for split in columns}
    held_out = not counts["test"]
    if held_out:
        by_split.files["test"] = by_split.files["train"]
        labels["train"], labels["test"] = _hold_out(labels["train"], [every] * len(names))
    require_test(sum(_count(labels["test"], len(names))), every)
    if not validation_every:
        labels.pop("validation", None)
    elif "validation" in labels:
        require_validation(sum(_count(labels["validation"], len(names))))
    else:
        by_split.files["validation"] = by_split.files["train"]
        steps = validation_steps(names, _count(labels["train"], len(names)), validation_every)
        labels["train"], labels["validation"] = _hold_out(labels["train"], steps)
    parts = {split: _parts(by_split.files[split], rows) for split, rows in labels.items()}
    return Table(names, parts, held_out, by_split.chosen.mark(_fingerprint(files, by_split.told_by_folder)), images)


@dataclass(frozen=True)
class _Files:
    """Files by split; `told_by_folder` are the words of those whose own names say nothing, by name."""

    files: dict[Split, list[LocalFile]]
    chosen: Chosen
    told_by_folder: Mapping[str, str]


def _split_files(files: Mapping[str, LocalFile], config: DatasetConfig, left_out: LeftOut) -> _Files:
    """Sort the files into splits by their names; one file alone is for training, whatever it is called."""
    words = {name: word_of_path(name, known_words(config.splits)) for name in sorted(files)}
    present = set(filter(None, words.values()))
    chosen = choose_words(config.splits, present) if len(files) > 1 or config.splits else Chosen({})
    left_out.remark(*chosen.remarks)
    found: dict[Split, list[LocalFile]] = {"train": [], "test": []}
    for name, word in words.items():
        if (split := chosen.split_of(word)) is None:
            left_out.add("Parquet files named neither train nor test", name)
        else:
            found.setdefault(split, []).append(files[name])
    told = {name: word for name, word in words.items() if word and not PurePosixPath(name).name.startswith(word)}
    return _Files(found, chosen, told if chosen.words else {})


def _read_labels(file: LocalFile, config: DatasetConfig) -> _LabelColumn:
    with open_parquet(file) as parquet:
        columns = find_columns(parquet.schema_arrow, config)
        column = parquet.read([columns.label], use_threads=False).column(0)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        encoded = pc.dictionary_encode(column).combine_chunks()
        values = tuple(encoded.dictionary.to_pylist())
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        if columns.hub_names is None and all(isinstance(value, int) for value in values):
            columns = replace(columns, hub_names=file.hub_names.get(columns.label))
        return _LabelColumn(values, codes, columns)


def _image_column(columns: Sequence[_LabelColumn], left_out: LeftOut) -> str:
    found = {column.columns.image for column in columns}
    if len(found) > 1:
        raise NoColumnError(f"images are in columns {sorted(found)} of different Parquet files; name them alike")
    for column in columns:
        left_out.remark(*column.columns.remarks)
    return found.pop()


def _classes(columns: Sequence[_LabelColumn], config: DatasetConfig) -> ClassLabels:
    """Name the classes of all values, each known by its text."""
    values = {value: column.name(value, config) for column in columns for value in column.values}
    if len({type(value) for value in values}) > 1:
        raise NoColumnError("labels are integers in one Parquet file and text in another; write them alike")
    if config.label_names and any(isinstance(value, str) for value in values):
        raise LabelNamesError("dataset.label_names names integers, and the label column is text; leave label_names out")
    named = {str(value): values[value] for value in sorted(values)}
    return map_classes(named, config, in_order=all(isinstance(value, int) for value in values))


def _count_names(columns: Sequence[_LabelColumn], classes: ClassLabels) -> dict[str, int]:
    counts: dict[str, int] = {}
    for column in columns:
        rows = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
        for value, n in zip(column.values, rows.tolist(), strict=True):
            if (name := classes.class_of.get(str(value))) is not None:
                counts[name] = counts.get(name, 0) + n
    return counts


def _to_labels(column: _LabelColumn, names: Sequence[str], classes: ClassLabels, left_out: LeftOut) -> Labels:
    """Replace codes by positions in `names`, -1 for rows without a label and for classes that are not there."""
    position = {name: i for i, name in enumerate(names)}
    reasons = [classes.left_out.get(str(value)) for value in column.values]
    for code, reason in enumerate(reasons):
        if reason == NOT_MAPPED:
            left_out.add(reason, str(column.values[code]), int((column.codes == code).sum()))
    unnamed = [code for code, reason in enumerate(reasons) if reason == NO_NAME]
    n_without = int(np.isin(column.codes, [-1, *unnamed]).sum())
    if n_without:
        left_out.add(_NO_LABEL, "an empty label", n_without)
    of_code = [position.get(classes.class_of.get(str(value), ""), -1) for value in column.values]
    return np.array([*of_code, -1], dtype=np.int32)[column.codes]  # code -1 takes the last


def _count(files: Sequence[Labels], n_classes: int) -> tuple[int, ...]:
    """Count the rows of each class."""
    labels = np.concatenate(files)
    return tuple(np.bincount(labels[labels >= 0], minlength=n_classes).tolist())


def _hold_out(train: Sequence[Labels], steps: Sequence[int]) -> tuple[list[Labels], list[Labels]]:
    """Part the rows into those that stay and each `step`-th of a class, counting through all files."""
    labels = np.concatenate(train)
    is_held = np.zeros(len(labels), dtype=bool)
    for label, step in enumerate(steps):
        is_held[np.flatnonzero(labels == label)[step - 1 :: step]] = True
    ends = np.cumsum([len(part) for part in train])[:-1]
    stay, held = np.where(is_held, -1, labels), np.where(is_held, labels, -1)
    return np.split(stay.astype(np.int32), ends), np.split(held.astype(np.int32), ends)


def _parts(files: Sequence[LocalFile], labels: Sequence[Labels]) -> tuple[Part, ...]:
    starts = np.cumsum([0, *(len(rows) for rows in labels)]).tolist()
    return tuple(Part(file, start, rows) for file, start, rows in zip(files, starts, labels, strict=False))


def _fingerprint(files: Mapping[str, LocalFile], told_by_folder: Mapping[str, str]) -> str:
    lines = (f"{name}\n{files[name].size}\n{files[name].tag}\n{told_by_folder.get(name, '')}" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
