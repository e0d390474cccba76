"""The distilled images of a job, some classes a page: of the archive, or while the job runs those that are made."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from api.errors import ArtifactNotFoundError
from api.services import Services
from ddoq.budgets import budget_names
from ddoq.config import DistillConfig
from ddoq.image_index import ImageIndex
from jobs.previews import Preview
from jobs.records import Artifact, Job
from jobs.states import TERMINAL

INDEX: Final = "images.json"
FEW_CLASSES: Final = 20  # where there are no more, a page shows OF_FEW images of each, else OF_MANY
OF_FEW, OF_MANY = 10, 5
OF_PAGE: Final = 60  # about so many images a page: it is to stay light
LEAST_CLASSES, MOST_CLASSES = 10, 50

_INDEX = TypeAdapter(ImageIndex)


@dataclass(frozen=True)
class ShownImage:
    """One image, by its number in its class, and the share of the class that it stands for."""

    codeword: int
    share: float


@dataclass(frozen=True)
class ShownClass:
    """A class with its heaviest images; `n_more` are not shown."""

    label: int
    name: str
    images: tuple[ShownImage, ...]
    n_more: int


@dataclass(frozen=True)
class Gallery:
    """A page of classes out of those `n_found` whose names were asked for, `n_classes` in all."""

    budget: str
    classes: tuple[ShownClass, ...]
    n_found: int
    n_classes: int
    page: int
    n_pages: int


@dataclass(frozen=True)
class Archived:
    """The images of an archive."""

    index: ImageIndex

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.index.classes)

    def shares(self, labels: Collection[int]) -> Mapping[int, Mapping[int, float]]:
        """Share of its class of each image, by label and number."""
        return {label: dict(enumerate(self.index.classes[label].shares)) for label in labels}


@dataclass(frozen=True)
class Growing:
    """The images of a job that has not ended."""

    preview: Preview
    budget: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.preview.class_names

    def shares(self, labels: Collection[int]) -> Mapping[int, Mapping[int, float]]:
        """Share of its class of each image that is there, by label and number."""
        return self.preview.shares(self.budget, labels)


Images = Archived | Growing


def prefix_of(config: DistillConfig, budget: str) -> str:
    """Say what the names of a budget's files begin with."""
    return f"{budget}-" if len(budget_names(config)) > 1 else ""


def find_images(using: Services, job: Job, artifacts: Sequence[Artifact], budget: str) -> Images | None:
    """Find the images of a budget; none where the job ended without them."""
    name = prefix_of(job.config, budget) + INDEX
    for artifact in artifacts:
        if artifact.name == name:
            return Archived(using.kept_json.read(artifact.key, _INDEX))
    return None if job.state in TERMINAL else Growing(using.previews.look(job), budget)


def read_image(
    using: Services, job_id: str, artifacts: Sequence[Artifact], place: tuple[str, int, int]
) -> bytes | None:
    """Read the PNG of an image of an archive, by budget, class label and number; None where there is no archive yet.

    Raises:
        ArtifactNotFoundError: the archive has no such image.
    """
    by_name, (budget, label, codeword) = {artifact.name: artifact for artifact in artifacts}, place
    found = by_name.get(f"{budget}-{INDEX}") or by_name.get(INDEX)
    if found is None:
        return None
    index = using.kept_json.read(found.key, _INDEX)
    if label >= len(index.classes) or codeword >= len(index.classes[label].sizes):
        raise ArtifactNotFoundError(f"job {job_id} has no image {codeword} of class {label}")
    start, size = index.classes[label].offsets[codeword], index.classes[label].sizes[codeword]
    return b"".join(using.objects.open_range(by_name[index.archive].key, start, start + size - 1))


def arrange(images: Images, config: DistillConfig, budget: str, sought: str, page: int) -> Gallery:
    """Lay out a page of those classes whose names contain what is sought."""
    names = images.names
    labels = [label for label, name in enumerate(names) if sought.casefold() in name.casefold()]
    most = OF_FEW if len(names) <= FEW_CLASSES else OF_MANY
    size = max(LEAST_CLASSES, min(MOST_CLASSES, OF_PAGE // min(most, _most(config))))
    n_pages = max(1, -(-len(labels) // size))
    page = min(max(page, 1), n_pages)
    return Gallery(
        budget=budget,
        classes=show_classes(images, labels[(page - 1) * size : page * size], most),
        n_found=len(labels),
        n_classes=len(names),
        page=page,
        n_pages=n_pages,
    )


def show_classes(images: Images, labels: Sequence[int], most: int) -> tuple[ShownClass, ...]:
    """Show up to `most` images of each of these classes, heaviest first."""
    names, shares = images.names, images.shares(labels)
    return tuple(_show_class(label, names[label], shares.get(label, {}), most) for label in labels)


def _show_class(label: int, name: str, shares: Mapping[int, float], most: int) -> ShownClass:
    shown = tuple(ShownImage(codeword, shares[codeword]) for codeword in sorted(shares))
    return ShownClass(label, name, shown[:most], len(shown[most:]))


def _most(config: DistillConfig) -> int:
    """Say how many images a class has at most; where shares are not known, many."""
    asked = config.images_per_class
    if asked is None:
        return OF_FEW
    return asked if isinstance(asked, int) else max(asked.values() if isinstance(asked, Mapping) else asked)
