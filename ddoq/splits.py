"""Words of the data, such as names of folders and files, -> splits."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from ddoq.columns import first_of
from ddoq.dataset_config import SplitsConfig
from ddoq.errors import UnknownSplitError

Split = Literal["train", "test", "validation"]
SPLITS: Final[tuple[Split, Split]] = ("train", "test")  # those that a dataset may come with
ALIASES: Final[Mapping[Split, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("validation", "val", "valid", "dev"),
}
_USUAL: Final = {split: split for split in SPLITS}


@dataclass(frozen=True)
class Chosen:
    """The word of the data for each split that it comes with. None at all: there are no splits.

    `validation` is there only where the config names it.
    """

    words: Mapping[Split, str]
    remarks: tuple[str, ...] = ()

    def split_of(self, word: str | None) -> Split | None:
        """Say which split a word stands for; without splits, all is for training."""
        if not self.words:
            return "train"
        return next((split for split, chosen in self.words.items() if chosen == word), None)

    def mark(self, fingerprint: str) -> str:
        """Tell the fingerprint of a dataset that is split by other words than `train` and `test` from another's."""
        if self.words.items() <= _USUAL.items():
            return fingerprint
        return hashlib.sha256(f"{fingerprint}{json.dumps(self.words, sort_keys=True)}".encode()).hexdigest()


def known_words(config: SplitsConfig | None) -> tuple[str, ...]:
    """List the words that stand for splits, in the order in which they are preferred."""
    named = _named(config)
    return tuple(word for split in ALIASES for word in _candidates(split, named))


def choose_words(config: SplitsConfig | None, present: Collection[str]) -> Chosen:
    """Choose the word for each split among those that the data has.

    Args:
        config: What stands for which split, where that is not the usual.
        present: The words that name folders, files or rows with images. Validation alone makes no splits.

    Raises:
        UnknownSplitError: a word of the config is not there.
    """
    named = _named(config)
    _require_words(named.values(), present)
    found = {split: word for split in ALIASES if (word := first_of(_candidates(split, named), present)) is not None}
    if not named and not found.keys() & _USUAL.keys():
        return Chosen({})
    remarks: tuple[str, ...] = ()
    if "test" not in found and "validation" in found and "validation" not in named:
        found["test"] = found["validation"]
        remarks = (f"There is no test split; the split {found['test']!r} serves as test",)
    if "validation" not in named:
        found.pop("validation", None)
    return Chosen(found, remarks)


def word_of_path(path: str, words: Collection[str]) -> str | None:
    """Find the split of a file by its name's beginning, or else by the innermost folder that is called like one."""
    file, *folders = reversed(PurePosixPath(path).parts or (path,))
    return word_of_file(file, words) or word_of_folders(folders, words)


def word_of_file(name: str, words: Collection[str]) -> str | None:
    """Find the split that a file's name begins with: `train-00000-of-00002.parquet`, `trainset.csv`, `val_1.tar`."""
    for word in sorted(words, key=len, reverse=True):
        follows = name[len(word) : len(word) + 1]
        if name.startswith(word) and (word in _USUAL or not follows.isalpha()):
            return word
    return None


def word_of_folders(folders: Collection[str], words: Collection[str]) -> str | None:
    """Find the first folder that is called like a split; `partial-train` is how the hub calls a part of one."""
    return next((word for folder in folders if (word := folder.removeprefix("partial-")) in words), None)


def _named(config: SplitsConfig | None) -> dict[Split, str]:
    given: dict[Split, str | None] = {} if config is None else {
        "train": config.train, "test": config.test, "validation": config.validation,
    }  # fmt: skip
    return {split: word for split, word in given.items() if word is not None}


def _candidates(split: Split, named: Mapping[Split, str]) -> tuple[str, ...]:
    if split in named:
        return (named[split],)
    return tuple(word for word in ALIASES[split] if word not in named.values())


def _require_words(words: Collection[str], present: Collection[str]) -> None:
    if missing := [word for word in words if word not in present]:
        there = ", ".join(map(repr, sorted(present)[:10])) or "none"
        raise UnknownSplitError(f"dataset.splits names {missing[0]!r}, which is not there; the splits are {there}")
