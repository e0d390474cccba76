"""The card of a hub's dataset -> names of its labels.

Source: `dataset_info` in the YAML in front of `README.md`, as the library `datasets` writes it.
"""

from collections.abc import Mapping
from typing import Final

import yaml
from pydantic import BaseModel, ValidationError

_MOST_CHARACTERS: Final = 2**20


class _ClassLabel(BaseModel):
    names: dict[str, str] | list[str]


class _Kind(BaseModel):
    class_label: _ClassLabel


class _Feature(BaseModel):
    name: str
    dtype: _Kind | object = None


class _Info(BaseModel):
    features: list[_Feature] = []


class _Card(BaseModel):
    dataset_info: _Info | list[_Info] = []


def label_names(card: str) -> dict[str, tuple[str, ...]]:
    """Read the names of each label column, in the order of their numbers.

    A column that has other names in another configuration of the dataset is left out; so is all of a card that cannot
    be read. Every scalar is text: nothing is made of what looks like a date, a number or a type.
    """
    infos = _infos(_front_matter(card))
    found: dict[str, set[tuple[str, ...]]] = {}
    for info in infos:
        for feature in info.features:
            if isinstance(feature.dtype, _Kind):
                found.setdefault(feature.name, set()).add(_in_order(feature.dtype.class_label.names))
    return {column: names for column, (names, *others) in found.items() if names and not others}


def _front_matter(card: str) -> str:
    start, *rest = card.removeprefix("\ufeff").splitlines(keepends=True) or [""]
    if start.rstrip() != "---":
        return ""
    end = next((i for i, line in enumerate(rest) if line.rstrip() == "---"), 0)
    return "".join(rest[:end])


def _infos(text: str) -> list[_Info]:
    if len(text) > _MOST_CHARACTERS:
        return []
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CBaseLoader)):
            return []  # what refers to itself can unpack to anything
        info = _Card.model_validate(yaml.CBaseLoader(text).get_single_data() or {}).dataset_info
    except (yaml.YAMLError, ValidationError, RecursionError, ValueError):
        return []
    return info if isinstance(info, list) else [info]


def _in_order(names: Mapping[str, str] | list[str]) -> tuple[str, ...]:
    """Answer the names by number; nothing, unless the numbers run from 0 without a gap."""
    if isinstance(names, list):
        return tuple(names)
    by_number = {int(number): name for number, name in names.items() if number.isdecimal()}
    return tuple(by_number[i] for i in range(len(names))) if set(by_number) == set(range(len(names))) else ()
