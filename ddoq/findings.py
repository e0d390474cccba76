"""What is asked about a dataset before a job, and what is found: they cross a process border as JSON. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from ddoq.config import DistillConfig
from ddoq.errors import DdoqError, kinds_of_error
from ddoq.events import Stage
from ddoq.read_manifest import ReadManifest


@dataclass(frozen=True)
class S3Place:
    """How to reach an object store; the keys open it, with a token where they are temporary."""

    endpoint: str | None
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Web:
    """Which servers datasets may come from, as in `ddoq.source_uris.Reach`."""

    hosts: tuple[str, ...]
    hub_datasets: tuple[str, ...]
    hub: str
    private_networks: tuple[str, ...]
    max_bytes: int


@dataclass(frozen=True)
class StoredUpload:
    """Where the bytes of the upload `id` are."""

    id: str
    bucket: str
    key: str


@dataclass(frozen=True)
class Question:
    """What may be read to look at a config's dataset, and how much it may take: CPU time and bytes of memory."""

    config: DistillConfig
    file_roots: tuple[Path, ...]
    s3_buckets: tuple[str, ...]
    own_bucket: str
    s3: S3Place | None
    web: Web
    upload: StoredUpload | None
    cache: Path
    cpu_seconds: int
    memory_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Findings:
    """What a dataset is, and what a job would make of it.

    `n_bytes` are those of the listed images, encoded; of Parquet, of its files. `n_images` come out, by the name of
    their budget; `blocks` are those of the stages that can be cut. `seconds` went by and `peak_bytes` of memory were
    taken until that was known.
    """

    format: str
    listed: ReadManifest
    n_bytes: int
    n_images: Mapping[str, int]
    blocks: Mapping[Stage, int]
    warnings: tuple[str, ...]
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Refusal:
    """Why a job on this dataset would fail: the code and the message that it would have."""

    code: str
    message: str

    @property
    def error(self) -> DdoqError:
        """The error itself."""
        return next((kind for kind in _KINDS if kind.code == self.code), DdoqError)(self.message)


_KINDS = [kind for kind in kinds_of_error() if kind.__module__.startswith("ddoq.errors.")]
QUESTION = TypeAdapter(Question)
ANSWER: TypeAdapter[Findings | Refusal] = TypeAdapter(Findings | Refusal)
