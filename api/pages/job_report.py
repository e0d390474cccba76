"""What the report of a job says, for its page: read from the file that is in the archive, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from api.pages.job_images import prefix_of
from api.services import Services
from ddoq.budgets import budget_names
from ddoq.conclusions import Comparison, conclude
from ddoq.config import DistillConfig
from ddoq.measure_words import gain_of_weights, words_on_bytes, words_on_coverage
from jobs.records import Artifact, Job

REPORT = "report.json"


@dataclass(frozen=True)
class Accuracy:
    """Test accuracy (0 to 1) of a contender, a value a seed."""

    values: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class ReportFile:
    """What a page needs of `report.json`."""

    verdict: str
    accuracy: Mapping[str, Accuracy]
    comparisons: tuple[Comparison, ...]
    figures: Mapping[str, float]
    remarks: tuple[str, ...] = ()
    by_network: Mapping[str, Mapping[str, Accuracy]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A row of the table: what students trained on it reached, and what the distilled set gains over it."""

    name: str
    accuracy: str
    mean: float
    gain: str
    conclusion: str


@dataclass(frozen=True)
class Findings:
    """A report in words."""

    verdict: str
    contenders: tuple[Contender, ...]
    n_seeds: int
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]


_REPORT = TypeAdapter(ReportFile)


def read_report(using: Services, job: Job, artifacts: Sequence[Artifact], budget: str) -> ReportFile | None:
    """Read the report of a budget; none until there is one."""
    name = prefix_of(job.config, budget) + REPORT
    key = next((artifact.key for artifact in artifacts if artifact.name == name), None)
    return None if key is None else using.kept_json.read(key, _REPORT)


def tell(report: ReportFile) -> Findings:
    """Put a report into words and rows, the distilled set first."""
    gains = {comparison.rival: comparison for comparison in report.comparisons}
    first = [name for name in report.accuracy if name not in gains]
    rows = [_contender(name, report.accuracy[name], gains.get(name)) for name in (*first, *gains)]
    words = (gain_of_weights(report.figures), words_on_coverage(report.figures), words_on_bytes(report.figures))
    n_seeds = max((len(accuracy.values) for accuracy in report.accuracy.values()), default=0)
    return Findings(report.verdict, tuple(rows), n_seeds, tuple(filter(None, words)), report.remarks)


def accuracies_of_sweep(config: DistillConfig, figures: Mapping[str, float]) -> Mapping[str, str]:
    """Tell the accuracy of the distilled set of each budget, as far as it is known, where there are several."""
    names = budget_names(config)
    found = {}
    for name in names if len(names) > 1 else ():
        prefix = f"{name}.accuracy.distilled"
        if f"{prefix}.mean" in figures:
            n_seeds = config.students.seeds
            found[name] = in_percent(figures[f"{prefix}.mean"], figures[f"{prefix}.deviation"], n_seeds)
    return found


def in_percent(mean: float, deviation: float, n_seeds: int) -> str:
    """Write an accuracy, with its deviation where there is one."""
    return f"{100 * mean:.1f}" if n_seeds < 2 else f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def in_points(comparison: Comparison) -> str:
    """Write a gain in points, with its margin where there is one."""
    margin = "" if comparison.margin is None else f" ± {100 * comparison.margin:.1f}"
    return f"{100 * comparison.gain:+.1f}{margin}"


def _contender(name: str, accuracy: Accuracy, gain: Comparison | None) -> Contender:
    return Contender(
        name=name,
        accuracy=in_percent(accuracy.mean, accuracy.deviation, len(accuracy.values)),
        mean=accuracy.mean,
        gain=in_points(gain) if gain else "",
        conclusion=conclude(gain) if gain else "",
    )
