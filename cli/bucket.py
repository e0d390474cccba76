"""`ddoq bucket`: the bucket of the service, in the object store."""

import click

from cli.database import read_settings
from cli.exits import CommandError
from cli.options import json_option, tell


@click.group()
def bucket() -> None:
    """The bucket of the service: needs the service's own environment (DDOQ_S3_BUCKET and so on)."""


@bucket.command()
@json_option
def ensure(as_json: bool) -> None:
    """Make the bucket unless it is there."""
    from jobs.artifacts import ObjectStore, make_s3_client
    from jobs.errors import ServiceError

    settings = read_settings()
    try:
        ObjectStore(make_s3_client(settings), settings.s3_bucket).ensure_bucket()
    except ServiceError as error:
        raise CommandError(f"{error.code}: {error}") from error
    tell({"bucket": settings.s3_bucket}, as_json, f"the bucket {settings.s3_bucket} is there")
