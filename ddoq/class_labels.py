"""Labels as the data has them -> names of classes."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ddoq.dataset_config import DatasetConfig
from ddoq.errors import LabelNamesError, UnknownClassError

NO_NAME: Final = "images with labels that have no name"
NOT_MAPPED: Final = "images of classes that class_map leaves out"
MAX_LABEL: Final = 256  # characters, as in a config
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class ClassLabels:
    """The class of each label, all classes in their natural order, and for the other labels why they are left out."""

    class_of: Mapping[str, str]
    natural: tuple[str, ...]
    left_out: Mapping[str, str]


def clean_label(text: str) -> str | None:
    """Take the blanks off a label; none, more than a line of text and control characters are no label."""
    label = text.strip()
    return label if 0 < len(label) <= MAX_LABEL and label.isprintable() else None


def are_numbers(labels: Collection[str]) -> bool:
    """Tell whether all labels are integers."""
    return all(_NUMBER.fullmatch(label) for label in labels)


def name_classes(labels: Collection[str], config: DatasetConfig, as_numbers: bool) -> ClassLabels:
    """Name the class of each label.

    Args:
        labels: All that occur.
        config: Names of integer labels, and new names of classes.
        as_numbers: The labels are integers and classes are ordered by them, not by name.

    Raises:
        LabelNamesError: there are names for integers, and labels that are none.
        UnknownClassError: `class_map` names a class that is not there.
    """
    names = config.label_names
    named: dict[str, str | None]
    if names is not None and not are_numbers(labels):
        odd = next(label for label in sorted(labels) if not _NUMBER.fullmatch(label))
        raise LabelNamesError(f"dataset.label_names names integers, and {odd!r} is a label; leave label_names out")
    if names is None and not as_numbers:
        return map_classes({label: label for label in sorted(labels)}, config, in_order=False)
    in_order = sorted(labels, key=lambda label: (int(label), label))
    named = {label: str(int(label)) if names is None else _nth(names, int(label)) for label in in_order}
    return map_classes(named, config, in_order=True)


def map_classes(named: Mapping[str, str | None], config: DatasetConfig, in_order: bool) -> ClassLabels:
    """Rename and merge classes as `class_map` says.

    Args:
        named: Labels and their names, None for one that has no name.
        config: Has the map.
        in_order: The order is already that of the classes, not to be that of their names.

    Raises:
        UnknownClassError: `class_map` names a class that is not there.
    """
    renamed = config.class_map or {}
    if unknown := renamed.keys() - set(named.values()):
        there = ", ".join(map(repr, list(filter(None, named.values()))[:10]))
        raise UnknownClassError(f"dataset.class_map names {min(unknown)!r}, which is no class; the classes are {there}")
    class_of: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for label, name in named.items():
        if name is None:
            left_out[label] = NO_NAME
        elif (new := renamed.get(name, name)) is None:
            left_out[label] = NOT_MAPPED
        else:
            class_of[label] = new
    natural = tuple(dict.fromkeys(class_of.values()))
    return ClassLabels(class_of, natural if in_order else tuple(sorted(natural)), left_out)


def _nth(names: tuple[str, ...], number: int) -> str | None:
    return names[number] if 0 <= number < len(names) else None
