"""Images in class folders, perhaps below folders for splits -> their labels and splits."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from ddoq.dataset_config import DatasetConfig
from ddoq.layouts import BySplit, Labelled, Listing
from ddoq.left_out import LeftOut
from ddoq.sources import Member
from ddoq.splits import ALIASES, Chosen, Split, choose_words, known_words, word_of_path

_NO_CLASS: Final = "images in no class folder"
_Placed = Sequence[tuple[str, Member]]
Parted = Callable[[str], tuple[str, str]]


def sort_folders(listing: Listing, config: DatasetConfig, left_out: LeftOut, parted: Parted | None = None) -> Labelled:
    """Tell labels and splits by the folders of images.

    Args:
        listing: Images named `train/class/...` and `test/class/...`, or `class/...`; all of it may lie in one folder.
        config: Names the splits, where they are not the usual.
        left_out: Takes what is not used.
        parted: Where images lie in several archives, parts a name into that of the archive, which may say the split,
            and that in it.

    Raises:
        UnknownSplitError: a split of the config is not there.
    """
    words = known_words(config.splits)
    placed = [(_place(member.name, parted, words), member) for member in listing.members]
    opening = _opening_words(config)
    top = _common_top(placed, opening)
    chosen = _choose(placed, top, opening, config)
    left_out.remark(*chosen.remarks)
    prefixes: dict[Split, str] = {"train": top}
    prefixes |= {split: f"{top}{word}/" for split, word in chosen.words.items()}
    return Labelled(
        _sort_in(placed, top, chosen, left_out),
        {split: "" if parted else prefix for split, prefix in prefixes.items()},
        chosen.mark(listing.fingerprint),
    )


def _place(name: str, parted: Parted | None, words: Sequence[str]) -> str:
    """Answer the path by which an image is sorted."""
    if parted is None:
        return name
    archive, inner = parted(name)
    word = word_of_path(archive, words)
    return f"{word}/{inner}" if word else inner


def _opening_words(config: DatasetConfig) -> tuple[str, ...]:
    """List the words of folders that make splits; validation alone does so only where the config names it."""
    usual = ALIASES["validation"] if config.splits is None else ()
    return tuple(word for word in known_words(config.splits) if word not in usual)


def _common_top(placed: _Placed, words: Collection[str]) -> str:
    """Find the one folder that holds every class folder or split, as `name/`, or nothing."""
    tops = {path.split("/")[0] for path, _ in placed if "/" in path}
    if len(tops) != 1 or tops & set(words) or not any(path.count("/") > 1 for path, _ in placed):
        return ""
    return f"{tops.pop()}/"


def _choose(placed: _Placed, top: str, words: Collection[str], config: DatasetConfig) -> Chosen:
    """Choose the folders of the splits; only such count that have class folders below."""
    inner = (path.removeprefix(top) for path, _ in placed)
    present = {path.split("/")[0] for path in inner if path.count("/") > 1}
    if not present & set(words) and config.splits is None:
        return Chosen({})
    return choose_words(config.splits, present)


def _sort_in(placed: _Placed, top: str, chosen: Chosen, left_out: LeftOut) -> BySplit:
    found: dict[Split, dict[str, list[Member]]] = {"train": {}, "test": {}}
    for path, member in placed:
        folder, _, inner = path.removeprefix(top).partition("/")
        split = chosen.split_of(folder)
        name, in_class, _ = (inner if chosen.words else path.removeprefix(top)).partition("/")
        if split and in_class:
            found.setdefault(split, {}).setdefault(name, []).append(member)
        elif split or not inner:
            left_out.add(_NO_CLASS, member.name)
        else:
            left_out.add(f"images in {folder!r} beside train and test", member.name)
    return found
