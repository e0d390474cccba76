"""What lies at a dataset URI -> the format it has, and its images by class. Nothing is decoded.

The table of `docs/datasets.md`, section "Formats", is `_format_of`, from top to bottom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddoq.class_folders import sort_folders
from ddoq.containers import Container, is_parquet, open_container
from ddoq.csv_tables import sort_rows
from ddoq.dataset_config import DatasetConfig, Format
from ddoq.errors import FormatError
from ddoq.layouts import Labelled, Layout, lay_out
from ddoq.left_out import LeftOut
from ddoq.sources import Folder, LocalFile, Member, Source
from ddoq.splits import ALIASES
from ddoq.surveys import Survey, take_survey
from ddoq.tar_containers import PackedTarContainer, ReadThrough, TarContainer
from ddoq.webdatasets import Shards, has_labels, sort_samples

if TYPE_CHECKING:
    from ddoq.tables import Table

_SPLIT_WORDS = frozenset(word for words in ALIASES.values() for word in words)


@dataclass(frozen=True)
class Arranged:
    """Image files in a container, sorted into classes and splits; `fingerprint` is of all that decided about them."""

    container: Container
    layout: Layout
    fingerprint: str
    format: Format


@dataclass(frozen=True)
class Shares:
    """What is held out: each `test`-th image of a class without a test split, each `validation`-th where asked for."""

    test: int
    validation: int | None


def read_format(
    source: Source, config: DatasetConfig, shares: Shares, left_out: LeftOut
) -> "tuple[Table | Arranged, LeftOut]":
    """Find the images of a dataset and their classes.

    Args:
        source: Where they are.
        config: The format, if it is given, and how to read it.
        shares: What to hold out.
        left_out: Takes what is not used of Parquet.

    Returns:
        The images, and what is not used.

    Raises:
        FormatError: it is not what the config says, or Parquet in an archive.
        DatasetError: one of its kinds, for whatever else is wrong.
    """
    if isinstance(source, LocalFile) and is_parquet(source):
        _require(config, {"parquet"}, "a Parquet file")
        return _open_parquet({source.path.name: source}, config, shares, left_out), left_out
    container = open_container(source) if isinstance(source, LocalFile) else source
    survey = take_survey(container, config)
    if not isinstance(source, LocalFile):
        if survey.parquet and _is_wanted("parquet", survey, config):
            files = {member.name: source.fetch(member) for member in survey.parquet}
            return _open_parquet(files, config, shares, left_out), left_out
        if survey.tars and not survey.parquet and _is_wanted("webdataset", survey, config):
            container = _open_shards(source, survey.tars)
            survey = take_survey(container, config)
    kind = _format_of(container, survey, config)
    labelled = _label(container, survey, config, kind)
    layout = lay_out(labelled, config, shares.test, survey.left_out, shares.validation)
    return Arranged(container, layout, labelled.fingerprint, kind), survey.left_out


def _is_wanted(kind: Format, survey: Survey, config: DatasetConfig) -> bool:
    """Tell whether to look into the files of a folder: because that was said, or because there are no images."""
    return config.format == kind or not survey.listing.members


def _open_parquet(files: Mapping[str, LocalFile], config: DatasetConfig, shares: Shares, left_out: LeftOut) -> "Table":
    from ddoq.tables import open_table  # pyarrow

    _require(config, {"parquet"}, "Parquet files and no images")
    return open_table(files, config, shares.test, left_out, shares.validation)


def _open_shards(folder: Folder, tars: tuple[Member, ...]) -> Shards:
    opened: dict[str, TarContainer | PackedTarContainer] = {}
    for member in sorted(tars, key=lambda member: member.name):
        tar = open_container(folder.fetch(member))
        if not isinstance(tar, TarContainer | PackedTarContainer):
            raise FormatError(f"{member.name!r} is called a tar and is none; give shards as tar, tar.gz or tar.zst")
        opened[member.name] = tar
    return Shards(opened)


def _label(container: Container, survey: Survey, config: DatasetConfig, kind: Format) -> Labelled:
    """Sort the images in by the format that they have, or that the config says."""
    listing, left_out = survey.listing, survey.left_out
    shards = container if isinstance(container, Shards) else None
    survey.leave_out_rest(kind)
    if kind == "webdataset":
        return sort_samples(listing, survey.labels, config, left_out, shards)
    if kind == "csv" and (labelled := sort_rows(container, listing, survey.tables, config, left_out)):
        return labelled
    return sort_folders(listing, config, left_out, shards.parted if shards else None)


def _format_of(container: Container, survey: Survey, config: DatasetConfig) -> Format:
    """Tell how images are labelled; the first that fits."""
    can_be, found = _possible(container, survey), _what_is_there(survey)
    if survey.parquet and not survey.listing.members:
        raise FormatError(
            f"{survey.parquet[0].name!r} is Parquet in an archive; upload it bare, or a folder of such files"
        )
    if config.format != "auto":
        _require(config, can_be, found)
        return config.format
    if "webdataset" in can_be and has_labels(survey.listing, survey.labels):
        return "webdataset"
    if "csv" in can_be and not _has_class_folders(container, survey, config):
        return "csv"
    return "folders"


def _possible(container: Container, survey: Survey) -> set[Format]:
    can_be: set[Format] = {"folders"} if survey.listing.members else set()
    if survey.listing.members and survey.tables:
        can_be.add("csv")
    if survey.listing.members and isinstance(container, ReadThrough):
        can_be.add("webdataset")
    return can_be


def _has_class_folders(container: Container, survey: Survey, config: DatasetConfig) -> bool:
    """Tell whether images lie in two class folders, whatever the config says of splits."""
    shards = container if isinstance(container, Shards) else None
    labelled = sort_folders(
        survey.listing, config.model_copy(update={"splits": None}), LeftOut(), shards.parted if shards else None
    )
    return len({label for labels in labelled.images.values() for label in labels} - _SPLIT_WORDS) > 1


def _what_is_there(survey: Survey) -> str:
    counts = {
        "images": len(survey.listing.members), "CSVs": len(survey.tables), "label files": survey.labels.n_files,
        "Parquet files": len(survey.parquet), "tars": len(survey.tars),
    }  # fmt: skip
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing that is read"


def _require(config: DatasetConfig, can_be: set[Format], found: str) -> None:
    if config.format != "auto" and config.format not in can_be:
        able = f" and can be read as {', '.join(sorted(can_be))}" if can_be else ""
        raise FormatError(f"dataset.format is {config.format!r}, but the dataset has {found}{able}; leave it out")
