"""`ddoq jobs` and `ddoq show` look at what was submitted; `cancel`, `retry` and `delete` change it."""

from pathlib import Path

import click

from cli.options import data_option, job_argument, json_option, read_labels, tell
from cli.service import open_client
from cli.shown import in_full, in_table, state_of
from jobs.records import JobState

STATUS = click.Choice([state.value for state in JobState])


@click.command("jobs")
@click.option("--status", "statuses", type=STATUS, multiple=True, help="Only jobs in this state; of several, in any.")
@click.option(
    "--label",
    "labels",
    metavar="NAME=VALUE",
    multiple=True,
    callback=read_labels,
    help="Only jobs with it; of several, with all.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Jobs at most.")
@data_option
@json_option
def list_jobs(statuses: tuple[str, ...], labels: dict[str, str], limit: int, data: Path, as_json: bool) -> None:
    """List jobs, newest first."""
    with open_client(data) as client:
        found = list(client.jobs(status=statuses, label=labels, limit=limit))
    tell({"jobs": found}, as_json, in_table(found))


@click.command()
@job_argument
@data_option
@json_option
def show(job_id: str, data: Path, as_json: bool) -> None:
    """Tell all of a job: is it all right, how far is it, is it any good, what files are there."""
    with open_client(data) as client:
        job, artifacts = client.job(job_id), client.artifacts(job_id)
    tell({**job.model_dump(mode="json"), "artifacts": artifacts}, as_json, in_full(job, artifacts))


@click.command()
@job_argument
@data_option
@json_option
def cancel(job_id: str, data: Path, as_json: bool) -> None:
    """End a job before it is done. It is cancelled only when its work has stopped."""
    with open_client(data) as client:
        job = client.cancel(job_id)
    tell(job, as_json, state_of(job))


@click.command()
@job_argument
@data_option
@json_option
def retry(job_id: str, data: Path, as_json: bool) -> None:
    """Submit a job that has ended once more, as a new one; print the new job's id."""
    with open_client(data) as client:
        job = client.retry(job_id)
    tell(job, as_json, job.id)


@click.command()
@job_argument
@data_option
@json_option
def delete(job_id: str, data: Path, as_json: bool) -> None:
    """Delete a job that has ended, and its files."""
    with open_client(data) as client:
        client.delete(job_id)
    tell({"id": job_id, "is_deleted": True}, as_json, f"{job_id} is deleted")
