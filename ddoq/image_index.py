"""Where each distilled image lies: in an archive that is whole, and in the blocks while it is made. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class IndexedClass:
    """The images of one class, heaviest first.

    `shares` are the shares of the class that they stand for; `offsets` and `sizes` say which bytes of the archive are
    the PNG of each.
    """

    name: str
    shares: tuple[float, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class ImageIndex:
    """`images.json`: of every class in label order, where its images lie in `archive`; their side in pixels."""

    archive: str
    resolution: int
    classes: tuple[IndexedClass, ...]


@dataclass(frozen=True)
class GeneratedBlock:
    """A block of the generate stage: how many images of one budget it holds, by class label.

    `shares` has the share of its class that each stands for, by label and codeword.
    """

    budget: str
    counts: Mapping[int, int]
    shares: Mapping[int, Mapping[int, float]] = field(default_factory=dict)


def image_path(label: int, codeword: int) -> str:
    """Name the PNG file of an image, below the folder of its budget or block."""
    return f"{label:05d}/{codeword:04d}.png"
