"""Gains in accuracy, and what they show beyond noise. Torch-free."""

from dataclasses import dataclass
from math import sqrt

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


@dataclass(frozen=True)
class Spread:
    """Accuracies of `n` students in short; `deviation` is the sample deviation."""

    mean: float
    deviation: float
    n: int


def conclude(comparison: Comparison) -> str:
    """Say what one comparison shows."""
    if comparison.is_noise:
        return "not distinguishable"
    return "distilled is better" if comparison.gain > 0 else "distilled is worse"


def compare_apart(one: Spread, rival: Spread, name: str) -> Comparison:
    """Compare accuracies of students that share nothing, as those of two jobs; the rival is called `name`.

    Welch's difference, with as few degrees of freedom as the smaller side has, which makes the margin rather too wide.
    """
    gain, least = one.mean - rival.mean, min(one.n, rival.n)
    if least < 2:
        return Comparison(name, gain, None)
    error = sqrt(one.deviation**2 / one.n + rival.deviation**2 / rival.n)
    return Comparison(name, gain, T[min(least - 2, len(T) - 1)] * error)
