"""Labelled images -> classes in label order and splits, with what is held out."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ddoq.class_choice import choose_classes, require_test, require_validation, validation_steps
from ddoq.class_labels import name_classes
from ddoq.dataset_config import DatasetConfig
from ddoq.errors import DamagedArchiveError
from ddoq.left_out import LeftOut
from ddoq.sources import Entry, Load, Member
from ddoq.splits import SPLITS, Split

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
NO_IMAGE: Final = "files that are no images by their names"
_ODD: Final = re.compile("[\x00-\x1f\\\\\x7f\ud800-\udfff]")  # control characters, backslashes, lone surrogates
NO_SPLIT: Final = "images in none of the splits"
BAD_NAME: Final = "files whose names lead out of the dataset or are not plain text"


@dataclass(frozen=True)
class Encoded:
    """A labelled image that is not decoded yet. `load` may be called in any thread and gives `n_bytes`, where known."""

    key: str
    label: int
    load: Load
    n_bytes: int = 0


@dataclass(frozen=True)
class Listing:
    """The images of a dataset in the order of its container, and the hash of their names, sizes and tags."""

    members: tuple[Member, ...]
    fingerprint: str


@dataclass(frozen=True)
class Layout:
    """Which images are of which class: for each split, the members of each class in key order.

    A member's key is its name without the split's prefix. The split `validation` is there only where it is asked for.
    """

    class_names: tuple[str, ...]
    members: Mapping[Split, tuple[tuple[Member, ...], ...]]
    prefixes: Mapping[Split, str]
    held_out: bool

    @property
    def n_bytes(self) -> int:
        """Bytes of all encoded images."""
        return sum(member.size for classes in self.members.values() for members in classes for member in members)


BySplit = Mapping[Split, Mapping[str, Sequence[Member]]]


@dataclass(frozen=True)
class Labelled:
    """Images by split and label, `train` and `test` always, and the hash of all that decides which is which.

    A member's key is its name without the split's prefix. `as_numbers`: the labels are integers.
    """

    images: BySplit
    prefixes: Mapping[Split, str]
    fingerprint: str
    as_numbers: bool = False


def list_images(entries: Iterable[Entry], left_out: LeftOut) -> Listing:
    """Keep what may be an image, by name alone.

    Raises:
        DamagedArchiveError: two files of one name, so that it would be chance which is meant.
    """
    members, seen, digest = list[Member](), set[str](), hashlib.sha256()
    for entry in entries:
        name = entry.member.name
        if is_hidden(name):
            continue
        if reason := _refusal(entry):
            left_out.add(reason, name)
            continue
        if name in seen:
            raise DamagedArchiveError(f"there are two files {name!r}; give each its own name")
        seen.add(name)
        members.append(entry.member)
        digest.update(f"{name}\n{entry.member.size}\n{entry.tag}\n".encode())
    return Listing(tuple(members), digest.hexdigest())


def lay_out(
    labelled: Labelled,
    config: DatasetConfig,
    every: int,
    left_out: LeftOut,
    validation_every: int | None = None,
) -> Layout:
    """Put classes in label order and hold images out.

    Args:
        labelled: Images by split and label.
        config: Names of classes, and which to keep; without, all are kept, ordered by code point or by number.
        every: Without test images, each `every`-th image of a class is held out; >= 2.
        left_out: Takes what is not used.
        validation_every: Each such image of a class that is left for training then is held out as validation, at
            least one, unless the data has a split for it; None for no such split.

    Raises:
        NoClassesError, OneClassError, UnknownClassError, EmptyClassError: as for `choose_classes`.
        LabelNamesError, UnknownClassError: as for `name_classes`.
        EmptyClassError: validation would take the last training image of a class.
    """
    found = _by_class(labelled, config, left_out)
    counts = {split: {name: len(images) for name, images in found.of[split].items()} for split in SPLITS}
    names = choose_classes(counts, found.natural, config.class_names, left_out)
    held_out, prefixes = not found.of["test"], dict(labelled.prefixes)
    train, test = found.chosen("train", names), found.chosen("test", names)
    if held_out:
        train, test = _hold_out(train, [every] * len(names))
        prefixes["test"] = prefixes["train"]
    require_test(sum(map(len, test)), every)
    splits: dict[Split, tuple[tuple[Member, ...], ...]] = {"test": _frozen(test)}
    if validation_every and "validation" in found.of:
        splits["validation"] = _frozen(found.chosen("validation", names))
        require_validation(sum(map(len, splits["validation"])))
    elif validation_every:
        train, validation = _hold_out(train, validation_steps(names, list(map(len, train)), validation_every))
        splits["validation"], prefixes["validation"] = _frozen(validation), prefixes["train"]
    splits["train"] = _frozen(train)
    return Layout(names, splits, {split: prefixes[split] for split in splits}, held_out)


@dataclass(frozen=True)
class _ByClass:
    of: BySplit
    natural: tuple[str, ...]

    def chosen(self, split: Split, names: Sequence[str]) -> list[list[Member]]:
        return [sorted(self.of[split].get(name, ()), key=lambda member: member.name) for name in names]


def _by_class(labelled: Labelled, config: DatasetConfig, left_out: LeftOut) -> _ByClass:
    labels = {label for split in SPLITS for label in labelled.images[split]}
    classes = name_classes(labels, config, labelled.as_numbers)
    found: dict[Split, dict[str, list[Member]]] = {split: {} for split in labelled.images}
    for split, by_label in labelled.images.items():
        for label, members in by_label.items():
            if label in classes.class_of:
                found[split].setdefault(classes.class_of[label], []).extend(members)
            elif label in classes.left_out:
                left_out.add(classes.left_out[label], label, len(members))
    return _ByClass(found, classes.natural)


def is_hidden(name: str) -> bool:
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in name.split("/"))


def is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _refusal(entry: Entry) -> str | None:
    name = entry.member.name
    if not is_plain(name):
        return BAD_NAME
    if entry.refusal:
        return entry.refusal
    if not is_image_name(name):
        return NO_IMAGE
    return None


def is_plain(name: str) -> bool:
    if any(part in {"", ".."} for part in name.split("/")):  # "" at the front: an absolute path
        return False
    if name[1:3] == ":/":  # a drive
        return False
    return not _ODD.search(name)


def _hold_out(
    classes: Sequence[Sequence[Member]], steps: Sequence[int]
) -> tuple[list[list[Member]], list[list[Member]]]:
    """Part the images of each class into those that stay and each `step`-th."""
    stay = [
        [image for i, image in enumerate(images) if i % step != step - 1]
        for images, step in zip(classes, steps, strict=True)
    ]
    return stay, [list(images[step - 1 :: step]) for images, step in zip(classes, steps, strict=True)]


def _frozen(classes: Sequence[Sequence[Member]]) -> tuple[tuple[Member, ...], ...]:
    return tuple(map(tuple, classes))
