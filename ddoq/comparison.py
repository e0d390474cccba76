"""Is a difference between two contenders more than noise? Paired by seed, with Student's t."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from ddoq.contender_names import DISTILLED
from ddoq.types import Score

# 97.5 % quantiles of Student's t for 1 to 19 degrees of freedom: two to twenty seeds.
T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093),
)


@dataclass(frozen=True)
class Comparison:
    """What the distilled set gains in accuracy over a rival: `gain` ± `margin` (95 %), or no margin for one seed."""

    rival: str
    gain: float
    margin: float | None

    @property
    def is_noise(self) -> bool:
        """Whether nothing can be said of which is better."""
        return self.margin is None or self.gain == 0 or abs(self.gain) <= self.margin


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
