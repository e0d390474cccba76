"""Is a difference between two contenders more than noise? Paired by seed, with Student's t."""

from collections.abc import Mapping
from math import sqrt
from statistics import fmean, stdev

from ddoq.conclusions import Comparison, T
from ddoq.contender_names import DISTILLED
from ddoq.types import Score


def compare(accuracy: Mapping[str, Score], grain: float = 0.0) -> tuple[Comparison, ...]:
    """Compare the distilled set with each other contender; with none where nothing was evaluated.

    A seed means the same start and the same batches for all contenders, so differences are taken seed by seed. The
    margin holds the noise of students and of random draws; the test images are the same for all.

    Args:
        accuracy: By contender, as many values of each.
        grain: By how much one test image moves an accuracy. Gains are not taken to vary by less from seed to seed:
            on few images two may be equal by chance.
    """
    if not accuracy:
        return ()
    distilled = accuracy[DISTILLED]
    return tuple(_compare(name, distilled, rival, grain) for name, rival in accuracy.items() if name != DISTILLED)


def _compare(name: str, distilled: Score, rival: Score, grain: float) -> Comparison:
    gains = [mine - its for mine, its in zip(distilled.values, rival.values, strict=True)]
    if len(gains) == 1:
        return Comparison(name, gains[0], None)
    return Comparison(name, fmean(gains), T[len(gains) - 2] * max(stdev(gains), grain) / sqrt(len(gains)))
