"""`ddoq download` and `ddoq upload`: files from and to the service."""

from pathlib import Path

import click

from cli.exits import CommandError, Exit
from cli.options import FILE, FOLDER, data_option, job_argument, json_option, tell
from cli.progress import show_bytes
from cli.service import open_client


@click.command()
@job_argument
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-o", "--output", type=FOLDER, default=Path(), help="Folder for the files.")
@data_option
@json_option
def download(job_id: str, names: tuple[str, ...], output: Path, data: Path, as_json: bool) -> None:
    """Download what a job made, or only the files named; compare the checksums, print the paths.

    What was cut off goes on where it was when the command is run again; what is complete is not fetched again.
    """
    with open_client(data) as client:
        with show_bytes() as on_bytes:
            paths = client.download(job_id, output, names or None, on_bytes=on_bytes)
        if not paths:
            raise CommandError(f"job {job_id} is {client.job(job_id).status} and has no files", Exit.NOT_FOUND)
    tell({"id": job_id, "files": paths}, as_json, "\n".join(map(str, paths)))


@click.command()
@click.argument("file", type=FILE)
@data_option
@json_option
def upload(file: Path, data: Path, as_json: bool) -> None:
    """Send a dataset to the service; print the URI for `dataset.uri`. Run it again to go on after a break."""
    with open_client(data) as client, show_bytes() as on_bytes:
        sent = client.upload(file, on_bytes=on_bytes)
    tell(sent, as_json, sent.uri)
