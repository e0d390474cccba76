"""How long a job takes, and how much memory, by what jobs like it took here. Nothing is guessed: no jobs, no answer."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Engine, Integer, Row, cast, func, select

from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.findings import Findings
from jobs.fanout import n_alive, plan_units
from jobs.records import Job, JobState, StageUnits
from jobs.tables import jobs, units

LATEST = 1000  # jobs that ended, among which those alike are looked for: the query is as fast when there are more
ALIKE = 20  # jobs, the latest of them, that are believed
SCALED = (Stage.ENCODE, Stage.GENERATE)  # their pieces are images: training images, distilled images
CACHED = (Stage.FIT, Stage.TEACH)  # and encode: what an earlier job left makes them fast, but never the longest of them


@dataclass(frozen=True)
class Estimate:
    """What a stage will take: `seconds` and `peak_bytes` are null where nothing is known; `basis` says why so."""

    seconds: float | None
    peak_bytes: int | None
    basis: str


@dataclass(frozen=True)
class StagePlan:
    """Into how many blocks and, for the workers of now, units a stage is cut, and what it will take."""

    stage: Stage
    n_blocks: int
    n_units: int
    estimate: Estimate


@dataclass(frozen=True)
class Rest:
    """How many seconds a job that runs may still take, but for the stages of which nothing is known."""

    seconds: float
    unknown: tuple[Stage, ...]


@dataclass(frozen=True)
class _Past:
    """What one stage of one job took: from its first start to its end, and its units together."""

    seconds: float
    unit_seconds: float
    n_pieces: int
    peak_bytes: int | None


def plan_stages(engine: Engine, config: DistillConfig, findings: Findings) -> list[StagePlan]:
    """Plan every stage of a job."""
    with engine.connect() as connection:
        n_workers = max(1, n_alive(connection))
    past = _past(engine, config)
    plans = []
    for stage in config.stages:
        n_blocks = findings.blocks.get(stage, 1)
        n_units = plan_units(n_blocks, n_workers)
        estimate = _estimate(stage, past[stage], findings, min(n_units, n_workers))
        plans.append(StagePlan(stage, n_blocks, n_units, estimate))
    return plans


def forecast_rest(engine: Engine, job: Job, at: datetime) -> Rest:
    """Say roughly what is left of a job that runs: stages go on at their pace, those to come take what they took."""
    past, seconds, unknown = _past(engine, job.config), 0.0, []
    for stage in job.config.stages:
        left = _seconds_left(job.stages.get(stage), past[stage], at)
        if left is None:
            unknown.append(stage)
        else:
            seconds += left
    return Rest(seconds, tuple(unknown))


def _seconds_left(units: StageUnits | None, past: Sequence[_Past], at: datetime) -> float | None:
    if units is not None and units.finished_at is not None:
        return 0.0
    elapsed = (at - units.started_at).total_seconds() if units and units.started_at else 0.0
    if units is not None and units.done and units.total:
        return elapsed * (units.total - units.done) / units.done
    return max(0.0, median(job.seconds for job in past) - elapsed) if past else None


def _estimate(stage: Stage, past: Sequence[_Past], findings: Findings, n_at_once: int) -> Estimate:
    peaks = [job.peak_bytes for job in past if job.peak_bytes is not None]
    peak = max(peaks, default=None)
    if stage is Stage.READ:
        return Estimate(findings.seconds, peak, "the time that looking at the dataset took just now")
    if not past:
        return Estimate(
            None, None, "no job with such a prior, at this resolution and evaluation, has ended here lately"
        )
    alike = f"jobs with such a prior, at this resolution and evaluation (of the latest {len(past)})"
    longest = max(past, key=lambda job: job.unit_seconds)
    if stage in SCALED and longest.n_pieces:
        n_images = sum(findings.listed.n_train) if stage is Stage.ENCODE else sum(findings.n_images.values())
        an_image = longest.unit_seconds / longest.n_pieces
        workers = "one worker" if n_at_once == 1 else f"{n_at_once} workers"
        basis = f"{an_image:.3g} s an image in the longest of {alike}, for {n_images} images on {workers}"
        return Estimate(round(an_image * n_images / n_at_once, 3), peak, basis)
    if stage in CACHED:
        return Estimate(round(longest.seconds, 3), peak, f"the longest of {alike}; not scaled")
    return Estimate(round(median(job.seconds for job in past), 3), peak, f"the median of {alike}; not scaled")


def _past(engine: Engine, config: DistillConfig) -> Mapping[Stage, list[_Past]]:
    """Read what each stage took in the latest jobs that are alike."""
    ended = select(jobs.c.id, jobs.c.state, jobs.c.config, jobs.c.finished_at).order_by(jobs.c.finished_at.desc())
    latest = ended.where(jobs.c.finished_at.is_not(None)).limit(LATEST).subquery()
    prior = latest.c.config["prior"]
    alike = (
        select(latest.c.id)
        .where(
            latest.c.state == JobState.SUCCEEDED,
            prior["kind"].as_string() == config.prior.kind,
            cast(prior["resolution"].as_string(), Integer) == config.prior.resolution,
            latest.c.config["evaluation"].as_string() == config.evaluation,
        )
        .order_by(latest.c.finished_at.desc())
        .limit(ALIKE)
    )
    took = func.extract("epoch", units.c.finished_at - units.c.started_at)
    query = select(
        units.c.stage,
        func.extract("epoch", func.max(units.c.finished_at) - func.min(units.c.started_at)).label("seconds"),
        func.sum(took).label("unit_seconds"),
        func.sum(units.c.total).label("n_pieces"),
        func.max(units.c.peak_bytes).label("peak_bytes"),
    )
    found: defaultdict[Stage, list[_Past]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(query.where(units.c.job_id.in_(alike)).group_by(units.c.job_id, units.c.stage)):
            found[Stage(row.stage)].append(_read(row))
    return found


def _read(row: Row[*tuple[Any, ...]]) -> _Past:
    return _Past(float(row.seconds), float(row.unit_seconds), int(row.n_pieces), row.peak_bytes)
