"""Where the service is, and a client for it."""

import os
from pathlib import Path
from typing import NamedTuple

from cli.exits import CommandError, Exit
from cli.folder import Endpoint, endpoint_file
from ddoq_client import Client


class Place(NamedTuple):
    """Where a service is, and the API key for it."""

    url: str
    key: str


def find_service(data: Path) -> Place:
    """Find the service: in the environment, else in the data folder of an `ddoq up` that runs.

    Raises:
        CommandError: neither names one.
    """
    url, key = os.environ.get("DDOQ_URL"), os.environ.get("DDOQ_API_KEY")
    if url and key:
        return Place(url, key)
    if url:
        raise CommandError("DDOQ_URL names a service, and DDOQ_API_KEY no key for it; set both", Exit.USAGE)
    file = endpoint_file(data)
    if not file.exists():
        raise CommandError(
            f"no service runs on {data}; start 'ddoq up', name its folder by --data, or set DDOQ_URL and DDOQ_API_KEY",
            Exit.NO_ANSWER,
        )
    endpoint = Endpoint.model_validate_json(file.read_text())
    return Place(endpoint.url, endpoint.key_file.read_text())


def open_client(data: Path) -> Client:
    """Open a client for the service.

    Raises:
        CommandError: no service is named.
    """
    return Client(*find_service(data))
