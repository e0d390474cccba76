"""`ddoq watch`: follow a job to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pydantic_core import to_json

from cli.exits import CommandError, Exit, with_hint
from cli.options import data_option, job_argument, tell
from cli.progress import accuracy_lines, show_stages
from cli.service import open_client
from ddoq_client import Client, Job


@click.command()
@job_argument
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print the job as a line of JSON at every change.")
def watch(job_id: str, data: Path, as_json: bool) -> None:
    """Watch a job to its end. Ctrl-C ends the watching, never the job."""
    with open_client(data) as client:
        if as_json:
            job = follow_in_lines(client, job_id)
            require_success(job)
        else:
            end(follow(client, job_id), as_json)


def follow(client: Client, job_id: str) -> Job:
    """Show how far each stage is, until the job has ended."""
    with left_running(job_id), show_stages(at.stage for at in client.job(job_id).stages) as bars:
        for job in client.watch(job_id):
            for at in job.stages:
                bars.show(at.stage, at.done, at.total, at.seconds)
    return job


def follow_in_lines(client: Client, job_id: str) -> Job:
    """Print the job as it is now and after every change, until it has ended."""
    with left_running(job_id):
        for job in client.watch(job_id):
            click.echo(to_json(job))
    return job


@contextmanager
def left_running(job_id: str) -> Iterator[None]:
    """Say on Ctrl-C that the job runs on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\n{job_id} runs on: 'ddoq watch {job_id}' shows it again, 'ddoq cancel {job_id}' ends it", err=True
        )
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def end(job: Job, as_json: bool) -> None:
    """Tell of a job that has ended: its accuracies, or why it did not succeed.

    Raises:
        CommandError: it did not succeed.
    """
    if as_json:
        tell(job, as_json, "")
    require_success(job)
    if not as_json:
        click.echo(accuracy_lines(job.figures))


def require_success(job: Job) -> None:
    """Return if a job succeeded.

    Raises:
        CommandError: it did not; the message says why.
    """
    if job.status == "succeeded":
        return
    code = Exit.JOB_FAILED if job.status == "failed" else Exit.JOB_STOPPED
    if job.error:
        raise CommandError(with_hint(f"{job.error.code}: {job.error.message}", job.error.hint), code)
    raise CommandError(f"job {job.id} was {job.status}", code)
