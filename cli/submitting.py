"""`ddoq submit`: give a job to the service."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click
from pydantic import ValidationError

from cli.config_file import read_config
from cli.options import config_argument, data_option, json_option, read_labels, tell
from cli.service import open_client
from cli.shown import in_plan
from cli.watching import end, follow
from jobs.options import MONTH_SECONDS, JobOptions, Priority

PRIORITY = click.Choice([priority.value for priority in Priority])
SECONDS = click.IntRange(1, MONTH_SECONDS)


def job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how a job is to be run, as its argument `options`."""

    @click.option(
        "--label",
        "labels",
        metavar="NAME=VALUE",
        multiple=True,
        callback=read_labels,
        help="To find the job by; repeatable.",
    )
    @click.option("--priority", type=PRIORITY, default="normal", show_default=True, help="Whose turn it is first.")
    @click.option("--queue-deadline", type=SECONDS, help="Seconds in which a worker must begin it, else it expires.")
    @click.option("--timeout", type=SECONDS, help="Seconds after its start in which it must end, else it fails.")
    @wraps(command)
    def with_options(
        labels: dict[str, str],
        priority: str,
        queue_deadline: int | None,
        timeout: int | None,
        **others: object,
    ) -> None:
        said = {"priority": priority, "queue_deadline_s": queue_deadline, "timeout_s": timeout}
        try:
            options = JobOptions.model_validate({**said, "labels": labels})
        except ValidationError as error:
            raise click.UsageError(f"--label: {'; '.join(fault['msg'] for fault in error.errors())}") from error
        command(options=options, **others)

    return with_options


@click.command()
@config_argument
@job_options
@click.option("--wait", is_flag=True, help="Watch the job to its end.")
@click.option("--plan", "is_plan", is_flag=True, help="Only look at the dataset and say what the job would be.")
@data_option
@json_option
def submit(config_file: Path, options: JobOptions, wait: bool, is_plan: bool, data: Path, as_json: bool) -> None:
    """Give a distillation to the service; print the job's id.

    CONFIG is a JSON file, or - for what is piped in.
    """
    config = read_config(config_file)
    with open_client(data) as client:
        if is_plan:
            plan = client.plan(config)
            tell(plan, as_json, in_plan(plan))
            return
        job = client.submit(config, **options.model_dump())
        if not (wait and as_json):
            tell(job, as_json, job.id)
        if wait:
            end(follow(client, job.id), as_json)
