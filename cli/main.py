"""The `ddoq` command."""

import os
from pathlib import Path

import click
from pydantic import ValidationError

from cli.bucket import bucket
from cli.client import Client, ClientError, Job
from cli.folder import DEFAULT, Endpoint, endpoint_file
from cli.keys import keys
from cli.progress import StageBars, accuracy_lines
from ddoq.config import DistillConfig
from ddoq.errors import DdoqError
from ddoq.events import Stage
from jobs.options import MONTH_SECONDS, JobOptions, Priority

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
PRIORITY = click.Choice([priority.value for priority in Priority])
SECONDS = click.IntRange(1, MONTH_SECONDS)


class ConfigFileError(click.ClickException):
    """The config file is not a config."""

    exit_code = 2


data_option = click.option(
    "--data", type=FOLDER, default=DEFAULT, show_default=True, help="Data folder of the 'ddoq up' to use."
)
output_option = click.option("-o", "--output", type=FOLDER, default=Path(), help="Folder for the files.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddoq")
def main() -> None:
    """Distil a labelled image dataset into a small, weighted, synthetic one.

    The commands that talk to a service find it by DDOQ_URL and DDOQ_API_KEY, or in the data folder of 'ddoq up'.
    """


main.add_command(keys)
main.add_command(bucket)


@main.command()
@click.option("--data", type=FOLDER, default=DEFAULT, show_default=True, help="Folder for everything that is kept.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 is any free one.")
@click.option("--root", "roots", type=FOLDER, multiple=True, help="Folder that file:// datasets may be in; repeatable.")
@click.option("--workers", "n_workers", type=click.IntRange(1, 64), default=1, show_default=True)
def up(data: Path, port: int, roots: tuple[Path, ...], n_workers: int) -> None:
    """Run the whole service here, with its own PostgreSQL, Valkey and S3.

    A server whose address is in the environment is not started: DDOQ_DATABASE_URL, DDOQ_BROKER_URL, DDOQ_S3_ENDPOINT.
    """
    from cli.up import Options
    from cli.up import up as run

    run(Options(data, port, roots, n_workers))


@main.command()
@click.argument("config_file", metavar="CONFIG", type=FILE)
@click.argument("folder", type=FOLDER)
def distill(config_file: Path, folder: Path) -> None:
    """Distil without a service, into FOLDER; a second run goes on behind the stages that are complete there."""
    from cli.local import distill_here, usage_here

    config = read_config(config_file)
    try:
        with StageBars(config.stages) as bars:
            distilled = distill_here(config, folder, bars.on_event)
    except DdoqError as error:
        raise click.ClickException(f"{error.code}: {error}") from error
    for words, archive, report in distilled:
        click.echo(f"{words}\n{archive}\n{report}")
    for line in usage_here(config, folder):
        click.echo(line)


@main.command()
@click.argument("config_file", metavar="CONFIG", type=FILE)
@click.argument("folder", type=FOLDER)
def fit(config_file: Path, folder: Path) -> None:
    """Train the prior of a config (prior.kind "fit") on its dataset; print its diffusers folder, which is in FOLDER.

    A later 'ddoq distill' of this data takes it from the cache (XDG_CACHE_HOME, or ~/.cache) and does not train again.
    """
    from cli.local import fit_here

    config = read_config(config_file)
    try:
        with StageBars(config.stages[: config.stages.index(Stage.QUANTIZE)]) as bars:
            prior = fit_here(config, folder, bars.on_event)
    except DdoqError as error:
        raise click.ClickException(f"{error.code}: {error}") from error
    click.echo(prior)


@main.command()
@click.argument("config_file", metavar="CONFIG", type=FILE)
@click.option("--priority", type=PRIORITY, default="normal", show_default=True, help="Whose turn it is first.")
@click.option("--queue-deadline", type=SECONDS, help="Seconds in which a worker must begin it, else it expires.")
@click.option("--timeout", type=SECONDS, help="Seconds after its start in which it must end, else it fails.")
@click.option("--wait", is_flag=True, help="Watch the job to its end.")
@data_option
def submit(
    config_file: Path, priority: str, queue_deadline: int | None, timeout: int | None, wait: bool, data: Path
) -> None:
    """Give a distillation to the service; print the job's id."""
    config = read_config(config_file)
    options = JobOptions(priority=Priority(priority), queue_deadline_s=queue_deadline, timeout_s=timeout)
    with open_client(data) as client:
        job = client.submit(config, options)
        click.echo(job.id)
        if wait:
            show_end(follow(client, job.id))


@main.command()
@click.argument("file", metavar="FILE", type=FILE)
@data_option
def upload(file: Path, data: Path) -> None:
    """Send a dataset to the service; print the URI for `dataset.uri`. Run it again to go on after a break."""
    with open_client(data) as client:
        click.echo(client.upload(file).uri)


@main.command()
@click.argument("job_id", metavar="JOB")
@data_option
def watch(job_id: str, data: Path) -> None:
    """Watch a job to its end."""
    with open_client(data) as client:
        show_end(follow(client, job_id))


@main.command()
@click.argument("job_id", metavar="JOB")
@output_option
@data_option
def download(job_id: str, output: Path, data: Path) -> None:
    """Download what a job made, compare the checksums, print the paths."""
    with open_client(data) as client:
        artifacts = client.artifacts(job_id)
        if not artifacts:
            raise ClientError(f"job {job_id} is {client.get(job_id).status} and has made no files")
        for artifact in artifacts:
            click.echo(client.download(job_id, artifact, output))


@main.group()
def db() -> None:
    """The database of the service."""


@db.command("upgrade")
def upgrade_schema() -> None:
    """Bring the schema up to date."""
    from jobs.schema import upgrade
    from jobs.settings import load_settings

    upgrade(load_settings().database_url)


def read_config(file: Path) -> DistillConfig:
    """Read a config from JSON.

    Raises:
        ConfigFileError: it is not one; the message names every fault.
    """
    try:
        return DistillConfig.model_validate_json(file.read_bytes())
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors())
        raise ConfigFileError(f"{file} is not a config: {'; '.join(faults)}") from error


def open_client(data: Path) -> Client:
    """Find the service: in the environment, else in the data folder of an `ddoq up` that runs.

    Raises:
        ClientError: neither names one.
    """
    url, key = os.environ.get("DDOQ_URL"), os.environ.get("DDOQ_API_KEY")
    if url and key:
        return Client(url, key)
    file = endpoint_file(data)
    if not file.exists():
        message = (
            f"no service runs on {data}; start 'ddoq up', name its folder by --data, or set DDOQ_URL and DDOQ_API_KEY"
        )
        raise ClientError(message)
    endpoint = Endpoint.model_validate_json(file.read_text())
    return Client(endpoint.url, endpoint.key_file.read_text())


def follow(client: Client, job_id: str) -> Job:
    """Show a bar for each stage until the job has ended."""
    with StageBars(at.stage for at in client.get(job_id).stages) as bars:
        for job in client.watch(job_id):
            for at in job.stages:
                bars.show(at.stage, at.done, at.total)
    return job


def show_end(job: Job) -> None:
    """Print the accuracies of a job that succeeded.

    Raises:
        ClientError: it did not succeed; the message says why.
    """
    if job.error:
        raise ClientError(f"{job.error.code}: {job.error.message}")
    if job.status != "succeeded":
        raise ClientError(f"job {job.id} was {job.status}")
    click.echo(accuracy_lines(job.figures))


if __name__ == "__main__":
    main()
