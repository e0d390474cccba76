"""`ddoq bucket`: the bucket of the service, in the object store."""

import click


@click.group()
def bucket() -> None:
    """The bucket of the service: needs its own environment (DDOQ_S3_BUCKET and so on)."""


@bucket.command()
def ensure() -> None:
    """Make the bucket unless it is there."""
    from jobs.artifacts import ObjectStore, make_s3_client
    from jobs.errors import ServiceError
    from jobs.settings import load_settings

    settings = load_settings()
    try:
        ObjectStore(make_s3_client(settings), settings.s3_bucket).ensure_bucket()
    except ServiceError as error:
        raise click.ClickException(f"{error.code}: {error}") from error
