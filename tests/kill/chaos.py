"""`make chaos`: a service, a few hundred small jobs, and a fault every few seconds; then everything is accounted for.

The seed fixes which faults are drawn; when exactly they hit is up to the machine.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import click

from ddoq.config import DistillConfig
from ddoq_client import ServiceError
from tests.kill.jobs import TEACHER, Jobs
from tests.kill.mischief import Mischief
from tests.kill.outside import outside
from tests.kill.verdict import await_the_end, judge
from tests.kill.watching import Service, serving, submit

PAUSE_SECONDS = (1.0, 6.0)
SUBMITTING_SHARE = 0.7  # of the time; the rest is for jobs that are under way
END_SECONDS = 1800
MAX_ATTEMPTS = 100  # the faults are ours: no unit is to be given up for their number


def main() -> int:
    """Run the chaos; answer 1 when anything was lost, doubled, spoilt or left over."""
    arguments = _arguments()
    with TemporaryDirectory(prefix="ddoq-chaos-", ignore_cleanup_errors=True) as folder:
        (root := Path(folder) / "root").mkdir()
        jobs = Jobs(root)
        mixture = kinds_of_jobs(jobs)
        expected = {config.model_dump_json(): jobs.sha256_undisturbed(config) for config in mixture}
        variables = {"DDOQ_MAX_ATTEMPTS": str(MAX_ATTEMPTS)}
        with (
            outside(Path(folder) / "outside") as servers,
            serving(servers, Path(folder) / "data", root, "--workers", str(arguments.workers), **variables) as service,
        ):
            report = _run(service, mixture, expected, arguments)
    click.echo(report)
    if arguments.summary:
        arguments.summary.write_text(f"{report}\n")
    return int("WRONG" in report)


def kinds_of_jobs(jobs: Jobs) -> list[DistillConfig]:
    """List small jobs of several methods, sizes and stages."""
    taught = {"teacher": TEACHER}
    return [
        *(jobs.quick(evaluation="none", images_per_class=ipc) for ipc in (1, 2, 5)),
        jobs.quick(evaluation="none", method="d4m", images_per_class=3),
        jobs.quick(evaluation="none", method="random", images_per_class=2),
        jobs.quick(),
        jobs.quick(**taught),
        jobs.quick(**taught, evaluation="none", images_per_class=3, seed=7),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long faults happen")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", type=Path, help="file for the summary, as Markdown")
    return parser.parse_args()


def _run(
    service: Service, mixture: list[DistillConfig], expected: dict[str, tuple[str, ...]], arguments: argparse.Namespace
) -> str:
    begun, seconds = time.monotonic(), arguments.minutes * 60
    rng = random.Random(arguments.seed)
    mischief = Mischief(service, rng)
    submitted: dict[str, DistillConfig] = {}
    order = [mixture[rng.randrange(len(mixture))] for _ in range(arguments.jobs)]
    enough = Event()
    pause = SUBMITTING_SHARE * seconds / arguments.jobs
    submitting = Thread(target=_submit_all, args=(service, order, pause, submitted, enough))
    submitting.start()
    try:
        while time.monotonic() - begun < seconds:
            time.sleep(rng.uniform(*PAUSE_SECONDS))
            mischief.act()
    finally:
        enough.set()
        submitting.join()
        mischief.rest()
    await_the_end(service, END_SECONDS)
    verdict = judge(service, submitted, expected, mischief.cancelled, mischief.done)
    took = (time.monotonic() - begun) / 60
    title = f"{arguments.workers} workers, {took:.0f} minutes, {len(mischief.done)} faults, seed {arguments.seed}"
    return f"{title}\n\n{verdict.table()}"


def _submit_all(
    service: Service,
    order: list[DistillConfig],
    pause_seconds: float,
    submitted: dict[str, DistillConfig],
    enough: Event,
) -> None:
    """Submit one job after another; one that is refused or not answered is tried again."""
    for config in order:
        while not enough.wait(pause_seconds):
            try:
                submitted[submit(service, config)] = config
                break
            except ServiceError as error:
                click.echo(f"not accepted: {error}", err=True)


if __name__ == "__main__":
    sys.exit(main())
