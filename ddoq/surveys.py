"""One look through a container: its images, and what could say how they are labelled."""

from collections.abc import Iterator
from dataclasses import dataclass

from ddoq.containers import Container
from ddoq.csv_tables import SUFFIXES as CSV_SUFFIXES
from ddoq.dataset_config import DatasetConfig, Format
from ddoq.layouts import NO_IMAGE, Listing, is_hidden, is_plain, list_images
from ddoq.left_out import LeftOut
from ddoq.sources import Entry, Member
from ddoq.tar_containers import ReadThrough
from ddoq.webdatasets import SampleLabels, is_label_file, is_small

_PARQUET = (".parquet",)
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")


@dataclass(frozen=True)
class Survey:
    """Images, and by the ends of their names: CSVs, Parquet files and tars, in the order of the container.

    `labels` are those in small files beside images, which are looked into in tars alone.
    """

    listing: Listing
    tables: tuple[Entry, ...]
    parquet: tuple[Member, ...]
    tars: tuple[Member, ...]
    labels: SampleLabels
    left_out: LeftOut

    def leave_out_rest(self, kind: Format) -> None:
        """Count what could say how images are labelled, but does not, with all else that is no image."""
        tables = () if kind == "csv" else tuple(entry.member for entry in self.tables)
        for member in (*tables, *self.parquet, *self.tars):
            self.left_out.add(NO_IMAGE, member.name)
        if kind == "webdataset":
            self.left_out.merge(self.labels.left_out)
        elif self.labels.n_files:
            self.left_out.add(NO_IMAGE, self.labels.first_file, self.labels.n_files)


def take_survey(container: Container, config: DatasetConfig) -> Survey:
    """List a container once.

    Raises:
        DamagedArchiveError: it breaks off, or holds two images of one name.
    """
    aside, labels, left_out = list[Entry](), SampleLabels(config), LeftOut()
    listing = list_images(_watch(container, aside, labels), left_out)
    tables = tuple(entry for entry in aside if entry.member.name.lower().endswith(CSV_SUFFIXES))
    return Survey(listing, tables, _ending(aside, _PARQUET), _ending(aside, _TARS), labels, left_out)


def _watch(container: Container, aside: list[Entry], labels: SampleLabels) -> Iterator[Entry]:
    """Pass the entries on, but for those that are put aside."""
    has_labels = isinstance(container, ReadThrough)
    for entry, data in _looked_through(container):
        name = entry.member.name
        is_read = entry.refusal is None and is_plain(name) and not is_hidden(name)
        if is_read and has_labels and is_label_file(name):
            labels.add(entry.member, data)
        elif is_read and name.lower().endswith((*CSV_SUFFIXES, *_PARQUET, *_TARS)):
            aside.append(entry)
        else:
            yield entry


def _looked_through(container: Container) -> Iterator[tuple[Entry, bytes]]:
    if isinstance(container, ReadThrough):
        return container.read_through(lambda member: is_label_file(member.name) and is_small(member))
    return ((entry, b"") for entry in container.entries())


def _ending(entries: list[Entry], suffixes: tuple[str, ...]) -> tuple[Member, ...]:
    return tuple(entry.member for entry in entries if entry.member.name.lower().endswith(suffixes))
