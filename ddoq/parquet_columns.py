"""The columns of a Parquet file that hold images and labels: which they are, of what type, and how labels are named.

Source: the metadata that names the labels is what the library `datasets` writes (key `huggingface` of the schema).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from ddoq.columns import IMAGE_COLUMNS, LABEL_COLUMNS, remark_on
from ddoq.dataset_config import IMAGE_COLUMN, LABEL_COLUMN, DatasetConfig
from ddoq.errors import DamagedArchiveError, NoColumnError

_IMAGES: Final = "bytes of image files"
_LABELS: Final = "integers or text"


@dataclass(frozen=True)
class Columns:
    """The columns of image and label, and the names of integer labels, if the schema has them."""

    image: str
    label: str
    hub_names: tuple[str, ...] | None
    remarks: tuple[str, ...] = ()


class _Feature(BaseModel):
    names: tuple[str, ...]


class _Info(BaseModel):
    features: dict[str, _Feature | Any]


class _HubMetadata(BaseModel):
    info: _Info


def find_columns(schema: Any, config: DatasetConfig) -> Columns:
    """Find the columns that the config names, or instead of the default names the only ones that fit.

    Raises:
        NoColumnError: a column is missing, of a type that cannot be used, or one of several that fit.
        DamagedArchiveError: the metadata of the schema is not as the library writes it.
    """
    names = _hub_names(schema)
    image, label = config.image_column, config.label_column
    if image == IMAGE_COLUMN and image not in schema.names:
        image = _only(_images(schema), image, schema)
    if label == LABEL_COLUMN and label not in schema.names:
        label = _only(_labels(schema, names), label, schema)
    _require_column(schema, image, is_image_type, _IMAGES)
    _require_column(schema, label, is_label_type, _LABELS)
    taken = ((image, config.image_column), (label, config.label_column))
    remarks = tuple(remark_on(name, wanted) for name, wanted in taken if name != wanted)
    return Columns(image, label, names.get(label), remarks)


def is_image_type(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and is_image_type(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_label_type(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _images(schema: Any) -> list[str]:
    """List the columns that could be the image: by name and type, or else by type."""
    fit = [field.name for field in schema if is_image_type(field.type)]
    return [name for name in fit if name in IMAGE_COLUMNS] or fit


def _labels(schema: Any, hub_names: dict[str, tuple[str, ...]]) -> list[str]:
    """List the columns that could be the label: those whose values have names, or else by name, or else by type."""
    fit = [field.name for field in schema if is_label_type(field.type)]
    named = [name for name in fit if name in hub_names]
    return named or [name for name in fit if name in LABEL_COLUMNS] or fit


def _only(candidates: Sequence[str], wanted: str, schema: Any) -> str:
    if len(candidates) == 1:
        return candidates[0]
    found = f"; {', '.join(map(repr, candidates[:10]))} could be meant" if candidates else ""
    raise NoColumnError(
        f"there is no column {wanted!r} in {schema.names[:50]}{found}; name it by dataset.{wanted}_column"
    )


def _require_column(schema: Any, name: str, is_usable: Callable[[Any], bool], wanted: str) -> None:
    if schema.names.count(name) != 1:
        raise NoColumnError(f"there is no column {name!r} in {schema.names}; name it in the dataset's config")
    kind = schema.field(name).type
    if is_usable(kind):
        return
    if wanted == _IMAGES and (pa.types.is_list(kind) or pa.types.is_string(kind) or pa.types.is_struct(kind)):
        raise NoColumnError(
            f"column {name!r} is of type {kind}, where {wanted} are needed: neither paths nor lists of images are "
            "read; write each image's bytes into the table, one image a row"
        )
    raise NoColumnError(f"column {name!r} is of type {kind}, where {wanted} are needed")


def _hub_names(schema: Any) -> dict[str, tuple[str, ...]]:
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = _HubMetadata.model_validate_json(text).info.features
    except ValidationError as error:
        raise DamagedArchiveError("the key 'huggingface' of the Parquet schema is damaged; write it again") from error
    return {name: feature.names for name, feature in features.items() if isinstance(feature, _Feature)}
