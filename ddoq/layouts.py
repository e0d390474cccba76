"""Paths of files -> classes and splits."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ddoq.errors import DamagedArchiveError, EmptyClassError, NoClassesError, OneClassError, UnknownClassError
from ddoq.sources import Entry, Load, Member

Split = Literal["train", "test", "validation"]
SPLITS: Final[tuple[Split, Split]] = ("train", "test")  # those that a dataset may come with
SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
_NO_IMAGE: Final = "files that are no images by their names"
_BAD_NAME: Final = "files whose names lead out of the dataset or are not plain text"
_NO_CLASS: Final = "images in no class folder"
NOT_CHOSEN: Final = "images of classes that class_names leaves out"


@dataclass(frozen=True)
class Encoded:
    """A labelled image that is not decoded yet. `load` may be called in any thread and gives `n_bytes`, where known."""

    key: str
    label: int
    load: Load
    n_bytes: int = 0


class LeftOut:
    """Counts what is not used, by reason, with the first name as an example: short, however much it is.

    `sentences` are said before, as they are.
    """

    def __init__(self, sentences: Sequence[str] = ()) -> None:
        self._sentences = tuple(sentences)
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, reason: str, name: str, n: int = 1) -> None:
        before, example = self._found.get(reason, (0, name))
        self._found[reason] = (before + n, example)

    def sentences(self) -> tuple[str, ...]:
        counted = (f"{n} {reason} (such as {example!a})" for reason, (n, example) in self._found.items())
        return (*self._sentences, *counted)


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


_Classes = dict[str, list[Member]]


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
    members: Sequence[Member],
    class_names: Sequence[str] | None,
    every: int,
    left_out: LeftOut,
    validation_every: int | None = None,
) -> Layout:
    """Sort images into splits and classes.

    Args:
        members: Images named `train/class/...` and `test/class/...`, or `class/...`; all of it may lie in one folder.
        class_names: Classes to keep, in label order; None keeps all, ordered by code point.
        every: Without a test folder, each `every`-th image of a class is held out; >= 2.
        left_out: Takes what is not used.
        validation_every: Each such image of a class that is left for training then is held out as validation, at
            least one; None for no such split.

    Raises:
        NoClassesError, OneClassError, UnknownClassError, EmptyClassError: as for `choose_classes`.
        EmptyClassError: validation would take the last training image of a class.
    """
    top = _common_top(members)
    has_splits = any(_is_in_split(member.name.removeprefix(top)) for member in members)
    found = _sort_in(members, top, has_splits, left_out)
    counts = {split: {name: len(images) for name, images in found[split].items()} for split in SPLITS}
    names = choose_classes(counts, sorted(found["train"].keys() | found["test"].keys()), class_names, left_out)
    held_out = not found["test"]
    train, test = (
        [sorted(found[split].get(name, ()), key=lambda member: member.name) for name in names] for split in SPLITS
    )
    if held_out:
        train, test = _hold_out(train, [every] * len(names))
    require_test(sum(map(len, test)), every)
    splits: dict[Split, tuple[tuple[Member, ...], ...]] = {"test": _frozen(test)}
    if validation_every:
        train, validation = _hold_out(train, validation_steps(names, list(map(len, train)), validation_every))
        splits["validation"] = _frozen(validation)
    splits["train"] = _frozen(train)
    origins = {split: "test" if split == "test" and not held_out else "train" for split in splits}
    prefixes = {split: f"{top}{origin}/" if has_splits else top for split, origin in origins.items()}
    return Layout(names, splits, prefixes, held_out)


def choose_classes(
    counts: Mapping[Split, Mapping[str, int]],
    natural: Sequence[str],
    class_names: Sequence[str] | None,
    left_out: LeftOut,
) -> tuple[str, ...]:
    """Put the classes in label order and refuse what cannot be distilled.

    Args:
        counts: Images of each class in each split; no test images at all means that some will be held out.
        natural: All classes, in the order used when `class_names` is None.
        class_names: The classes asked for.
        left_out: Takes the images of the other classes.

    Raises:
        NoClassesError: no training images in any class.
        OneClassError: one class only.
        UnknownClassError: a class asked for is not there.
        EmptyClassError: a class has no training images.
    """
    train, test = counts["train"], counts["test"]
    if not train:
        raise NoClassesError(_no_classes(bool(test), left_out))
    chosen = tuple(natural if class_names is None else class_names)
    for name in chosen:
        if name not in natural:
            raise UnknownClassError(f"there is no class {name!r}; the classes are {_first(natural)}")
        if name not in train:
            raise EmptyClassError(f"class {name!r} has no training images; add some or leave it out by class_names")
    if len(chosen) == 1:
        raise OneClassError(f"there is only one class, {chosen[0]!r}; at least two are needed")
    for name in natural:
        if name not in chosen:
            left_out.add(NOT_CHOSEN, name, train.get(name, 0) + test.get(name, 0))
    return chosen


def require_test(n_test: int, every: int) -> None:
    """Raise EmptyClassError when no image is left to test with."""
    if n_test == 0:
        raise EmptyClassError(
            f"no image of these classes is for testing; add a test split, or {every} images to a class, of which one "
            "is held out"
        )


def validation_steps(class_names: Sequence[str], counts: Sequence[int], every: int) -> list[int]:
    """Say for each class which images to hold out as validation: each such one; of fewer than `every`, the last.

    Raises:
        EmptyClassError: a class has one training image.
    """
    for name, n in zip(class_names, counts, strict=True):
        if n < 2:
            raise EmptyClassError(
                f"class {name!r} has {n} training image, which validation would take; add images, leave the class out "
                "or set evaluation to 'quick'"
            )
    return [min(every, n) for n in counts]


def is_hidden(name: str) -> bool:
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in name.split("/"))


def is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _refusal(entry: Entry) -> str | None:
    name = entry.member.name
    if not _is_plain(name):
        return _BAD_NAME
    if entry.refusal:
        return entry.refusal
    if not is_image_name(name):
        return _NO_IMAGE
    return None


def _is_plain(name: str) -> bool:
    if any(part in {"", ".."} for part in name.split("/")):  # "" at the front: an absolute path
        return False
    if name[1:3] == ":/":  # a drive
        return False
    return not any(char < " " or char in "\\\x7f" or "\ud800" <= char <= "\udfff" for char in name)


def _common_top(members: Sequence[Member]) -> str:
    """Find the one folder that holds every class folder or split, as `name/`, or nothing."""
    tops = {member.name.split("/")[0] for member in members if "/" in member.name}
    if len(tops) != 1 or tops & set(SPLITS) or not any(member.name.count("/") > 1 for member in members):
        return ""
    return f"{tops.pop()}/"


def _is_in_split(name: str) -> bool:
    return name.startswith(tuple(f"{split}/" for split in SPLITS)) and name.count("/") > 1


def _sort_in(members: Sequence[Member], top: str, has_splits: bool, left_out: LeftOut) -> Mapping[Split, _Classes]:
    found: dict[Split, _Classes] = {"train": {}, "test": {}}
    for member in members:
        folder, _, inner = member.name.removeprefix(top).partition("/")
        name, in_class, _ = (inner if has_splits else member.name.removeprefix(top)).partition("/")
        split = next((split for split in SPLITS if split == folder), None) if has_splits else "train"
        if split and in_class:
            found[split].setdefault(name, []).append(member)
        elif split or not inner:
            left_out.add(_NO_CLASS, member.name)
        else:
            left_out.add(f"images in {folder!r} beside train and test", member.name)
    return found


def _hold_out(
    classes: Sequence[Sequence[Member]], steps: Sequence[int]
) -> tuple[list[list[Member]], list[list[Member]]]:
    """Part the images of each class into those that stay and each `step`-th."""
    stay = [
        [image for i, image in enumerate(images) if i % step != step - 1]
        for images, step in zip(classes, steps, strict=True)
    ]
    return stay, [list(images[step - 1 :: step]) for images, step in zip(classes, steps, strict=True)]


def _no_classes(has_test: bool, left_out: LeftOut) -> str:
    if has_test:
        return "there is a test folder and no train folder; name the other one train"
    seen = "; ".join(left_out.sentences()[:3])
    return "no class folders with images were found; send train/<class>/<file> or <class>/<file>" + (
        f" (left out: {seen})" if seen else ""
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _frozen(classes: Sequence[Sequence[Member]]) -> tuple[tuple[Member, ...], ...]:
    return tuple(map(tuple, classes))
