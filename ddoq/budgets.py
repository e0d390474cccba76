"""How many images each class gets: as the config says, or shared out where they lower the distortion most. Torch-free.

Greedy marginal allocation is exact for convex curves (Fox 1966); for codebooks it is the bit allocation of Shoham &
Gersho (1988). Between measured numbers of codewords a curve is a power law, as distortion is for many codewords
(Zador 1982; Gray & Neuhoff 1998).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heapreplace
from itertools import pairwise
from math import exp, inf, log

from ddoq.config import DistillConfig
from ddoq.errors import ConfigError, UnknownClassError

NAMED = 5
GRID = (1 / 4, 1 / 2, 1, 2, 4)  # of the equal share: where a curve is measured, beside one codeword


@dataclass(frozen=True)
class Budget:
    """One number of images for each class, in label order. `name` is a folder: ipc-10, by-class, total-500."""

    name: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """What codewords are worth to one class of `n_images`, `n_distinct` of them.

    `distortions` are mean squared distances, measured at the rising numbers of codewords `ks`, the first of them 1.
    """

    n_images: int
    n_distinct: int
    ks: tuple[int, ...]
    distortions: tuple[float, ...]

    def cost(self, k: int) -> float:
        """Estimate the sum of squared distances with `k` codewords: convex and nowhere rising in `k`."""
        if not self._pieces:
            return 0.0
        starts, heights, slopes = self._pieces
        piece = bisect_right(starts, log(k)) - 1
        return self.n_images * exp(heights[piece] + slopes[piece] * (log(k) - starts[piece]))

    @cached_property
    def _pieces(self) -> tuple[list[float], list[float], list[float]] | None:
        """The convex hull of the logarithms from below: where each power law starts, its height and its exponent."""
        hull: list[tuple[float, float]] = []
        for k, distortion in zip(self.ks, self.distortions, strict=True):
            if distortion <= 0:  # one codeword for each distinct image: nothing is left to gain
                break
            point = (log(k), min(log(distortion), hull[-1][1] if hull else inf))  # a rise is chance
            while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], point):
                hull.pop()
            hull.append(point)
        if not hull:
            return None
        slopes = [_slope(*pair) for pair in pairwise(hull)] or [0.0]
        starts, heights = zip(*hull[: len(slopes)], strict=True)
        return list(starts), list(heights), slopes


def given_budgets(config: DistillConfig, class_names: Sequence[str]) -> tuple[Budget, ...] | None:
    """Read the budgets off a config; None for `total_images`, which only the latents can share out.

    Raises:
        UnknownClassError: numbers by class for a class that there is not, or none for one that there is.
    """
    asked = config.images_per_class
    if asked is None:
        return None
    if isinstance(asked, Mapping):
        return (Budget("by-class", _by_class(asked, class_names)),)
    numbers = (asked,) if isinstance(asked, int) else asked
    return tuple(Budget(f"ipc-{k}", (k,) * len(class_names)) for k in numbers)


def budget_names(config: DistillConfig) -> tuple[str, ...]:
    """Name the budgets of a config, in their order; the classes need not be known."""
    if config.total_images is not None:
        return (f"total-{config.total_images}",)
    if isinstance(config.images_per_class, Mapping):
        return ("by-class",)
    return tuple(budget.name for budget in given_budgets(config, ()) or ())


def require_room(n_images: Sequence[int], total: int) -> None:
    """Check that `total` leaves an image to each class, and that there are as many.

    Raises:
        ConfigError: it does not.
    """
    if total < len(n_images):
        raise ConfigError(
            f"total_images = {total} is fewer than the {len(n_images)} classes; raise it to {len(n_images)} or more"
        )
    if total > sum(n_images):
        raise ConfigError(
            f"total_images = {total} is more than the {sum(n_images)} distinct images there are; lower it to that"
        )


def equal_shares(n_images: Sequence[int], total: int) -> tuple[int, ...]:
    """Share `total` out as equally as classes of these sizes allow; larger ones get the odd images."""
    counts = [0] * len(n_images)
    left = total
    for place, label in enumerate(sorted(range(len(counts)), key=n_images.__getitem__)):
        counts[label] = min(n_images[label], left // (len(counts) - place))
        left -= counts[label]
    return tuple(counts)


def share_out(curves: Sequence[Curve], total: int) -> tuple[int, ...]:
    """Share `total` codewords out, each to the class where one more lowers the summed squared distances most.

    Each class gets at least one and at most `n_distinct`; they sum to `total`. Of equal gains the class with fewer
    codewords goes first, then the lower label.

    Raises:
        ConfigError: `total` is fewer than the classes or more than the distinct images.
    """
    require_room([curve.n_distinct for curve in curves], total)
    counts = [1] * len(curves)
    heap = [_place(curve, 1, label) for label, curve in enumerate(curves)]
    heapify(heap)
    for _ in range(total - len(curves)):
        label = heap[0][3]
        counts[label] += 1
        heapreplace(heap, _place(curves[label], counts[label], label))
    return tuple(counts)


def choose_grid(total: int, n_distinct: int, n_classes: int) -> tuple[int, ...]:
    """Choose the numbers of codewords at which to measure the curve of a class of `n_distinct` different images."""
    most = min(n_distinct, total - n_classes + 1)
    share = min(n_distinct, -(-total // n_classes))
    return tuple(sorted({1, *(max(1, min(round(share * factor), most)) for factor in GRID)}))


def _place(curve: Curve, k: int, label: int) -> tuple[bool, float, int, int]:
    """Place in the queue for codeword `k` + 1: full classes last, the largest gain first."""
    return k >= curve.n_distinct, curve.cost(k + 1) - curve.cost(k), k, label


def _by_class(asked: Mapping[str, int], class_names: Sequence[str]) -> tuple[int, ...]:
    if unknown := asked.keys() - set(class_names):
        raise UnknownClassError(f"images_per_class names {_some(unknown)}, which the dataset does not have")
    if missing := set(class_names) - asked.keys():
        raise UnknownClassError(
            f"images_per_class leaves out {_some(missing)}; give a number for each class, or dataset.class_names"
        )
    return tuple(asked[name] for name in class_names)


def _some(names: Iterable[str]) -> str:
    """The first few of them in words."""
    ordered = sorted(names)
    return ", ".join(map(repr, ordered[:NAMED])) + (f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else "")


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])
