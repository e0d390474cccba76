"""The data folder of `ddoq up`: who has it, its secrets, and where clients find the service."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import BaseModel, Field

from cli.files import write_private

DEFAULT = Path(".ddoq")


class FolderInUseError(click.ClickException):
    """Another `ddoq up` has the data folder."""


class Secrets(BaseModel):
    """What the embedded servers and the API keys rest on; drawn once a folder."""

    broker_password: str = Field(default_factory=secrets.token_hex)
    s3_access_key: str = Field(default_factory=lambda: secrets.token_hex(10))
    s3_secret_key: str = Field(default_factory=secrets.token_hex)
    key_pepper: str = Field(default_factory=secrets.token_hex)


class Endpoint(BaseModel):
    """Where the service that runs on a folder is, for the clients on this machine.

    `metrics` is where each of its processes shows its own, by name.
    """

    url: str
    key_file: Path
    metrics: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class DataFolder:
    """A data folder that is ours while `lock`, a file descriptor, is open."""

    path: Path
    lock: int

    @property
    def key_file(self) -> Path:
        return self.path / "api-key"

    def secrets(self) -> Secrets:
        """Read the secrets, drawn when the folder was new."""
        file = self.path / "secrets.json"
        if not file.exists():
            write_private(file, Secrets().model_dump_json(indent=1))
        return Secrets.model_validate_json(file.read_text())

    @contextmanager
    def announce(self, url: str, metrics: Mapping[str, str]) -> Iterator[None]:
        """Tell clients on this machine where the service is, for as long as it is there."""
        file = endpoint_file(self.path)
        write_private(file, Endpoint(url=url, key_file=self.key_file, metrics=metrics).model_dump_json(indent=1))
        try:
            yield
        finally:
            file.unlink()


def endpoint_file(folder: Path) -> Path:
    """Name the file that says where the service of a data folder is."""
    return folder / "endpoint.json"


@contextmanager
def open_folder(path: Path) -> Iterator[DataFolder]:
    """Take a data folder, made if it is not there.

    Raises:
        FolderInUseError: another `ddoq up` has it, or one that was killed is being cleaned up after.
    """
    path = path.resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        endpoint_file(path).unlink(missing_ok=True)  # of one that was killed
        yield DataFolder(path, lock)
    except BlockingIOError as error:
        message = f"another 'ddoq up' is using {path}, or is just ending; stop it, or choose another folder with --data"
        raise FolderInUseError(message) from error
    finally:
        os.close(lock)
