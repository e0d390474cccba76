"""Where the labelled images are and how to read them: the group `dataset` of a config. Torch-free."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ddoq.prior_config import Group

Format = Literal["folders", "parquet", "webdataset", "csv"]
Name = Annotated[str, Field(min_length=1, max_length=256)]

IMAGE_COLUMN = "image"
LABEL_COLUMN = "label"


class SplitsConfig(Group):
    """The words of the data for its splits: names of folders, beginnings of file names, values of a column `split`."""

    train: Name | None = Field(None, description="What is for training. Default: `train` or `training`.")
    test: Name | None = Field(
        None,
        description="What is for testing. Default: `test` or `testing`; where there is neither, `validation`, `val`, "
        "`valid` or `dev`.",
    )
    validation: Name | None = Field(
        None,
        description="What is for validation under `evaluation: full`. Default: a share of each class that is held out "
        "of what is for training.",
    )

    @model_validator(mode="after")
    def _words_are_distinct(self) -> "SplitsConfig":
        words = [word for word in (self.train, self.test, self.validation) if word is not None]
        if len(set(words)) < len(words):
            raise ValueError("a word is named for two splits; name each once")
        return self


class DatasetConfig(Group):
    """Where the labelled images are and how to read them."""

    uri: str = Field(
        min_length=1,
        max_length=2048,
        description="Address (`file://`, `s3://`, `https://`, `hf://` or `upload://`) of a folder, an archive (zip, "
        "tar, tar.gz, tar.zst) or a Parquet file: class folders, images with a CSV, WebDataset shards or Parquet. "
        "`train` and `test` folders (or file names) above the classes are the splits.",
    )
    format: Literal["auto"] | Format = Field(
        "auto",
        description="How labels are told: by class folders, by columns of Parquet, by files beside the images in a tar "
        "(WebDataset), or by a CSV. `auto` looks at the content.",
        exclude_if=lambda given: given == "auto",
    )
    image_column: str = Field(
        IMAGE_COLUMN,
        min_length=1,
        max_length=256,
        description="Parquet: column of encoded images. CSV: column of their paths, from the CSV's folder on. Where "
        "there is no `image`, the usual other names are tried.",
    )
    label_column: str = Field(
        LABEL_COLUMN,
        min_length=1,
        max_length=256,
        description="Parquet and CSV: column of labels. WebDataset: field of the JSON files. Where there is no "
        "`label`, the usual other names are tried.",
    )
    splits: SplitsConfig | None = Field(
        None,
        description="Which words of the data stand for its splits, where they are not the usual ones.",
        exclude_if=lambda given: given is None,
    )
    label_names: tuple[Name, ...] | None = Field(
        None,
        min_length=2,
        max_length=10_000,
        description="Names of the classes whose labels are the integers 0, 1, ... Default: those that Parquet gives "
        "them, or the integers.",
        exclude_if=lambda given: given is None,
    )
    class_map: Mapping[Name, Name | None] | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="New names of classes. Classes of one new name are one; null leaves a class out.",
        exclude_if=lambda given: given is None,
    )
    class_names: tuple[Name, ...] | None = Field(
        None,
        min_length=2,
        max_length=10_000,
        description="Classes to distil, in label order; others are left out. Default: all, ordered by name "
        "(integer labels: by number).",
    )
    test_share: float = Field(
        0.2,
        gt=0,
        le=0.5,
        description="Without a test split, this share of each class is held out first.",
    )
    aspect: Literal["crop", "pad"] = Field(
        "crop",
        description="How an image becomes a square: its middle square, or the whole on grey bars.",
    )
    max_bad_share: float = Field(
        0.01, ge=0, lt=1, description="The job fails when a larger share of the images does not decode."
    )

    @field_validator("label_names")
    @classmethod
    def _label_names_are_distinct(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if given is not None and len(set(given)) < len(given):
            raise ValueError("label_names names a label twice; merge classes by class_map")
        return given
