"""A labelled dataset as the test of a student that was trained from an archive."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from jaxtyping import Int, UInt8
from torch import Tensor

from ddoq.archive import DistilledArchive
from ddoq.config import DistillConfig
from ddoq.contender_names import DISTILLED
from ddoq.contenders import stream_test
from ddoq.dataset_config import DatasetConfig, SplitsConfig
from ddoq.datasets import Dataset, open_dataset, require_readable
from ddoq.errors import NoClassesError, UnknownSplitError
from ddoq.evaluate import Candidates, examine
from ddoq.image_rules import BadImage
from ddoq.network_config import NetworkConfig
from ddoq.sources import Access
from ddoq.splits import SPLITS, Split
from ddoq.training import Student, plan_of


@dataclass(frozen=True)
class Examined:
    """How a student did on the `n_images` of a dataset that decode; all shares are 0 to 1.

    `is_whole`: whether these are all its images, as where it has no splits. `by_class` has the classes of which there
    was one.
    """

    dataset: str
    is_whole: bool
    n_images: int
    n_unreadable: int
    accuracy: float
    by_class: Mapping[str, float]
    calibration_error: float


@dataclass(frozen=True)
class OwnTest:
    """Images of a dataset that students of an archive are to be tested on."""

    archive: DistilledArchive
    config: DistillConfig
    dataset: Dataset
    is_whole: bool

    @property
    def splits(self) -> tuple[Split, ...]:
        """Where they are, as the dataset was read."""
        return SPLITS if self.is_whole else ("test",)

    @property
    def n_images(self) -> int:
        """How many there are, before any was decoded."""
        return sum(sum(self.dataset.counts[split]) for split in self.splits)

    def take(self, student: Student, network: NetworkConfig, on_images: Callable[[int], None]) -> Examined:
        """Show a student every image once, as the evaluation of a job does.

        Raises:
            BadImagesError: too many of them do not decode.
        """
        bad: list[BadImage] = []
        plan = plan_of(self.archive.recipe, next(student.network.parameters()).device)
        plan = replace(plan, protocol=replace(plan.protocol, networks=(network,)))
        taker = Candidates({network.name: {DISTILLED: [student.network]}}, plan)
        (scores,) = examine([taker], self._stream(bad), on_images)
        require_readable("test", bad, self.n_images, self.config.dataset.max_bad_share)
        shares = zip(self.archive.class_names, scores.by_class[DISTILLED], strict=True)
        return Examined(
            dataset=self.config.dataset.uri,
            is_whole=self.is_whole,
            n_images=self.n_images - len(bad),
            n_unreadable=len(bad),
            accuracy=scores.accuracy[DISTILLED].mean,
            by_class={name: share for name, share in shares if share is not None},
            calibration_error=scores.calibration[DISTILLED],
        )

    def _stream(self, bad: list[BadImage]) -> Iterator[tuple[UInt8[Tensor, "b 3 h h"], Int[Tensor, " b"]]]:
        return chain.from_iterable(stream_test(self.config, self.dataset, bad, split) for split in self.splits)


def open_test(archive: DistilledArchive, uri: str, access: Access) -> OwnTest:
    """List the images of a dataset that are a test: its test split, or all where there is no other.

    It is read as the archive's own was: columns, names of classes, how oblong images become squares. Of that dataset
    itself, without splits, only the share counts that was held out when it was distilled.

    Raises:
        DatasetError: one of its kinds, such as for a class of the archive that the dataset has not.
    """
    own = archive.config.dataset
    is_own = uri == own.uri
    changes = {"uri": uri, "class_names": archive.class_names, **({} if is_own else {"format": "auto", "splits": None})}
    config = DatasetConfig.model_validate({**dict(own), **changes})
    dataset = _open(config, access)
    is_whole = dataset.held_out and not is_own
    return OwnTest(archive, archive.config.model_copy(update={"dataset": config}), dataset, is_whole)


def _open(config: DatasetConfig, access: Access) -> Dataset:
    """Open a dataset; one that is a test split and nothing else, as one without splits."""
    try:
        return open_dataset(config, access)
    except NoClassesError:
        alone = config.model_copy(update={"splits": SplitsConfig(train="test")})
        with suppress(UnknownSplitError):
            return open_dataset(alone, access)
        raise
