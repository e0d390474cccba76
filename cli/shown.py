"""What the service answers -> text for people: a job, a list of jobs, a plan."""

from collections.abc import Iterator, Mapping, Sequence

from cli.exits import with_hint
from cli.progress import accuracy_lines
from cli.words import at_time, in_columns, in_pairs, in_time, printable
from ddoq.measure_words import in_bytes, words_on_bytes, words_on_coverage
from ddoq_client.views import Artifact, JobView, Plan, StagePlan, StageProgress

CLASSES_SHOWN = 20
HEADINGS = ("job", "status", "stage", "created", "labels")


def in_table(jobs: Sequence[JobView]) -> str:
    """List jobs, a line each."""
    rows = [(job.id, job.status, _where(job), at_time(job.created_at), in_pairs(job.labels)) for job in jobs]
    return in_columns([HEADINGS, *rows]) if rows else "no jobs"


def in_full(job: JobView, artifacts: Sequence[Artifact]) -> str:
    """Tell all of a job: is it all right, how far is it, is it any good, what is there and how to get it."""
    parts = [state_of(job), _about(job), in_columns([_stage_row(at) for at in job.stages]) if job.stages else ""]
    if job.figures:
        parts += [accuracy_lines(job.figures), *_words_on(job.figures)]
    if artifacts:
        parts.append(_files(job, artifacts))
    return "\n\n".join(filter(None, parts))


def state_of(job: JobView) -> str:
    """Say in a sentence how a job is; of one that went wrong, why, and what to do."""
    if job.error:
        at_stage = f" in {job.error.stage}" if job.error.stage else ""
        return with_hint(f"{job.id} {job.status}{at_stage}: {job.error.code}: {job.error.message}", job.error.hint)
    if job.status == "queued":
        place = f"number {job.queue_position} in the queue" if job.queue_position else "waits"
        return f"{job.id} is queued: {place}"
    if job.finished_at:
        word = "was cancelled" if job.status == "cancelled" else job.status
        return f"{job.id} {word} {in_time((job.finished_at - job.created_at).total_seconds())} after it was sent"
    return f"{job.id} is {job.status}: {_where(job)}"


def in_plan(plan: Plan) -> str:
    """Tell what a job would be."""
    data = plan.dataset
    found = f"{data.format}, {in_bytes(data.n_bytes)}, {len(data.classes):,} classes"
    images = ", ".join(f"{budget.n_images:,} images as {budget.name}" for budget in plan.archives)
    total = f"about {in_time(plan.seconds)} in all" if plan.seconds is not None else "how long it takes is not known"
    parts = [
        f"dataset: {found}\nmakes: {images}",
        _class_table(plan),
        in_columns([("stage", "units", "time", "memory"), *map(_plan_row, plan.stages)]),
        _bases(plan),
        total,
        *(f"warning: {sentence}" for sentence in (*plan.warnings, *data.left_out)),
        f"not checked: {'; '.join(plan.not_checked)}" if plan.not_checked else "",
    ]
    return "\n\n".join(filter(None, parts))


def _class_table(plan: Plan) -> str:
    classes = plan.dataset.classes
    rows = [(one.name, f"{one.train:,}", f"{one.test:,}") for one in classes[:CLASSES_SHOWN]]
    more = f"\n... and {len(classes) - CLASSES_SHOWN:,} more classes" if len(classes) > CLASSES_SHOWN else ""
    return in_columns([("class", "train", "test"), *rows]) + more


def _plan_row(plan: StagePlan) -> tuple[str, ...]:
    seconds, peak = plan.estimate.seconds, plan.estimate.peak_bytes
    time, memory = in_time(seconds) if seconds is not None else "?", in_bytes(peak) if peak is not None else "?"
    return plan.stage, f"{plan.units:,}", time, memory


def _bases(plan: Plan) -> str:
    """Say once of the stages with the same basis what it is."""
    stages: dict[str, list[str]] = {}
    for each in plan.stages:
        stages.setdefault(each.estimate.basis, []).append(each.stage)
    return "\n".join(printable(f"{', '.join(names)}: {basis}") for basis, names in stages.items())


def _where(job: JobView) -> str:
    """Name the stage, with its share while it runs."""
    now = next((at for at in job.stages if at.stage == job.stage), None)
    if job.status == "running" and now and now.total:
        return f"{job.stage} {now.done / now.total:.0%}"
    return job.stage


def _about(job: JobView) -> str:
    rows = {
        "sent": at_time(job.created_at),
        "begun": at_time(job.started_at) if job.started_at else "",
        "ended": at_time(job.finished_at) if job.finished_at else "",
        "labels": in_pairs(job.labels),
        "priority": job.priority if job.priority != "normal" else "",
        "retry of": job.retried_from or "",
        "dataset": str(job.config.get("dataset", {}).get("uri", "")),
    }
    return in_columns([(name, value) for name, value in rows.items() if value])


def _stage_row(at: StageProgress) -> tuple[str, ...]:
    count = f"{at.done:,} of {at.total:,}" if at.total else ""
    return at.stage, at.status, in_time(at.seconds) if at.seconds is not None else "", count


def _words_on(figures: Mapping[str, float]) -> Iterator[str]:
    """Say what the figures of each budget mean."""
    marks = ("compression.bytes", "coverage.distilled")
    prefixes = sorted({name.removesuffix(mark) for name in figures for mark in marks if name.endswith(mark)})
    for prefix in prefixes:
        own = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        for sentence in filter(None, (words_on_bytes(own), words_on_coverage(own))):
            yield f"{prefix.rstrip('.')}: {sentence}" if prefix else sentence


def _files(job: JobView, artifacts: Sequence[Artifact]) -> str:
    rows = [(file.name, in_bytes(file.size_bytes), f"sha256 {file.sha256[:12]}") for file in artifacts]
    until = f"kept until {at_time(job.expires_at)}; " if job.expires_at else ""
    return f"{in_columns(rows)}\n{until}to have them: ddoq download {job.id}"
