"""Tars whose members share a name up to the first dot -> labelled images; one tar or many shards.

Source: the WebDataset format, https://github.com/webdataset/webdataset#the-webdataset-format.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

from ddoq.class_labels import are_numbers, clean_label
from ddoq.columns import label_columns
from ddoq.dataset_config import DatasetConfig
from ddoq.layouts import NO_SPLIT, Labelled, Listing
from ddoq.left_out import LeftOut
from ddoq.sources import Entry, Load, LocalFolder, Member
from ddoq.splits import Split, choose_words, known_words, word_of_folders, word_of_path
from ddoq.tar_containers import PackedTarContainer, TarContainer, Wanted

MAX_LABEL_BYTES: Final = 16 * 2**10
_NO_LABEL: Final = "images without a label beside them"
_SEVERAL: Final = "images that share one label with others"
_NO_PICTURE: Final = "labels without an image beside them"
_TOO_LARGE: Final = f"label files larger than {MAX_LABEL_BYTES >> 10} KiB"
_CLASS, _JSON = "cls", "json"
_SHARD: Final = 1 << 60  # no file is as long: the number of the shard and the offset in it are one position


@dataclass(frozen=True)
class Shards:
    """Tar files that are one dataset, read one after the other. Members are named `shard/name`."""

    tars: Mapping[str, TarContainer | PackedTarContainer]
    reads_in_order = True
    n_threads = LocalFolder.n_threads

    def entries(self) -> Iterator[Entry]:
        return (entry for entry, _ in self.read_through(lambda _: False))

    def read_through(self, is_wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        for number, (shard, tar) in enumerate(self.tars.items()):
            for entry, data in tar.read_through(is_wanted):
                found = entry.member
                member = Member(f"{shard}/{found.name}", found.size, number * _SHARD + found.position)
                yield Entry(member, entry.tag, entry.refusal), data

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        with ExitStack() as stack:
            reading = _Reading(tuple(self.tars.values()), stack)
            yield lambda member: partial(bytes, reading.read(member))

    def parted(self, name: str) -> tuple[str, str]:
        """Part the name of a member into that of its shard and that in it."""
        shard = next(path for path in accumulate(name.split("/"), "{}/{}".format) if path in self.tars)
        return shard, name[len(shard) + 1 :]


class _Reading:
    """Has one shard open at a time; what was read of the one before is in memory already."""

    def __init__(self, tars: tuple[TarContainer | PackedTarContainer, ...], stack: ExitStack) -> None:
        self._tars, self._stack = tars, stack
        self._number = -1
        self._find: Callable[[Member], Load] = _find_nothing

    def read(self, member: Member) -> bytes:
        number, position = divmod(member.position, _SHARD)
        if number != self._number:
            self._stack.close()
            self._number, self._find = number, self._stack.enter_context(self._tars[number].opened())
        return self._find(Member(member.name, member.size, position))()


class SampleLabels:
    """The labels beside images, by what their names begin with; a `.cls` comes before a `.json`."""

    def __init__(self, config: DatasetConfig) -> None:
        self._fields = label_columns(config.label_column)
        self._of_class: dict[str, str] = {}
        self._of_json: dict[str, str] = {}
        self.n_files, self.first_file = 0, ""
        self.left_out = LeftOut()

    def add(self, member: Member, data: bytes) -> None:
        """Take what is in a label file."""
        self.n_files, self.first_file = self.n_files + 1, self.first_file or member.name
        if member.size > MAX_LABEL_BYTES:
            self.left_out.add(_TOO_LARGE, member.name)
            return
        key, kind = _parted(member.name)
        label = _label_of_text(data) if kind == _CLASS else _label_of_json(data, self._fields)
        if label is not None:
            (self._of_class if kind == _CLASS else self._of_json)[key] = label

    def of(self, key: str) -> str | None:
        return self._of_class.get(key, self._of_json.get(key))

    def keys(self) -> set[str]:
        return self._of_class.keys() | self._of_json.keys()


def is_label_file(name: str) -> bool:
    return _parted(name)[1] in {_CLASS, _JSON}


def is_small(member: Member) -> bool:
    return member.size <= MAX_LABEL_BYTES


def has_labels(listing: Listing, labels: SampleLabels) -> bool:
    """Tell whether an image has a label beside it."""
    return any(labels.of(_parted(member.name)[0]) is not None for member in listing.members)


def sort_samples(
    listing: Listing, labels: SampleLabels, config: DatasetConfig, left_out: LeftOut, shards: Shards | None
) -> Labelled:
    """Tell labels by the files beside images, and splits by the names of shards or of folders in them.

    Raises:
        UnknownSplitError: a split of the config is not there.
    """
    words = known_words(config.splits)
    samples = [
        (member, label, _word(member.name, words, shards))
        for member in _single(listing, labels, left_out)
        if (label := labels.of(_parted(member.name)[0])) is not None
    ]
    chosen = choose_words(config.splits, {word for _, _, word in samples if word is not None})
    left_out.remark(*chosen.remarks)
    as_numbers = are_numbers({label for _, label, _ in samples})
    found: dict[Split, dict[str, list[Member]]] = {"train": {}, "test": {}}
    for member, label, word in samples:
        split = chosen.split_of(word)
        if split is None:
            left_out.add(NO_SPLIT, member.name)
            continue
        found.setdefault(split, {}).setdefault(str(int(label)) if as_numbers else label, []).append(member)
    mark = hashlib.sha256(f"webdataset\n{listing.fingerprint}".encode()).hexdigest()
    return Labelled(found, dict.fromkeys(found, ""), chosen.mark(mark), as_numbers)


def _single(listing: Listing, labels: SampleLabels, left_out: LeftOut) -> Iterator[Member]:
    """Yield the images that are alone in their sample and have a label; count the others."""
    keys = Counter(_parted(member.name)[0] for member in listing.members)
    for key in sorted(labels.keys() - keys.keys()):
        left_out.add(_NO_PICTURE, key)
    for member in listing.members:
        key = _parted(member.name)[0]
        if keys[key] > 1:
            left_out.add(_SEVERAL, member.name)
        elif labels.of(key) is None:
            left_out.add(_NO_LABEL, member.name)
        else:
            yield member


def _word(name: str, words: tuple[str, ...], shards: Shards | None) -> str | None:
    shard, inner = ("", name) if shards is None else shards.parted(name)
    return word_of_folders(inner.split("/")[-2::-1], words) or (word_of_path(shard, words) if shard else None)


def _parted(name: str) -> tuple[str, str]:
    """Part a name at the first dot behind its folders."""
    folder, slash, file = name.rpartition("/")
    key, _, kind = file.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


def _label_of_text(data: bytes) -> str | None:
    try:
        return clean_label(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None


def _label_of_json(data: bytes, fields: tuple[str, ...]) -> str | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    found = next((record[name] for name in fields if record.get(name) is not None), None)
    is_label = isinstance(found, str) or (isinstance(found, int) and not isinstance(found, bool))
    return clean_label(str(found)) if is_label else None


def _find_nothing(_: Member) -> Load:
    raise LookupError("no shard is open")
