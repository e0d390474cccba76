"""Where the servers are and what this installation allows: the `DDOQ_*` environment, read once per process."""

import json
import os
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ddoq.events import Stage
from ddoq.source_uris import HUB


def _split(value: Any) -> Any:
    """Read a list given as text: JSON, or separated like PATH."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part for part in value.split(os.pathsep) if part]


def _with_driver(url: str) -> str:
    """Name the driver, so that a plain `postgresql://` address works."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]


def _split_at_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ip_network(network)) for network in networks)


Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas), AfterValidator(_networks)]


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _resolved(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(folder.resolve() for folder in folders)


MOST_UPLOAD_BYTES = 10_000 * 64 * 2**20  # parts of the largest size that are taken
HOUR = 3600.0
STALL_SECONDS: Mapping[Stage, float] = MappingProxyType(
    {
        Stage.READ: 6 * HOUR,  # tells nothing before its end, and may fetch the dataset
        Stage.ENCODE: 2 * HOUR,  # before its first batch it may fetch the dataset and a model
        Stage.FIT: 2 * HOUR,
        Stage.QUANTIZE: 6 * HOUR,  # the largest class, with the most effort
        Stage.GENERATE: HOUR,  # a model, and one batch of many denoising steps on a CPU
        Stage.TEACH: 2 * HOUR,
        Stage.LABEL: HOUR,
        Stage.TRAIN: 2 * HOUR,
        Stage.EVALUATE: 6 * HOUR,  # measures are taken behind the last event
        Stage.PACKAGE: 2 * HOUR,
    }
)
"""How long a stage may be silent: from its claim or an event to the next, up- and downloads included."""


def _over_defaults(given: Mapping[Stage, float]) -> Mapping[Stage, float]:
    return {**STALL_SECONDS, **given}


class LogFormat(StrEnum):
    """How a line of the log is written."""

    JSON = "json"
    TEXT = "text"


class Settings(BaseSettings):
    """Settings of one process. Lists are JSON, or separated by `:` like PATH."""

    model_config = SettingsConfigDict(env_prefix="DDOQ_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: Annotated[str, AfterValidator(_with_driver)] = Field(repr=False, description="PostgreSQL >= 15.")
    broker_url: str = Field(repr=False, description="Redis >= 6.2 or Valkey.")
    s3_endpoint: str | None = Field(None, description="Address of the object store; none means AWS.")
    s3_bucket: str = Field(min_length=3, description="Bucket for everything that jobs write.")
    s3_access_key: str = Field(
        "",
        repr=False,
        description="Key id at the object store; datasets are read with it too. Without it and its secret boto3 looks "
        "for them, as in the role of the machine.",
    )
    s3_secret_key: SecretStr = Field(SecretStr(""), validate_default=True, description="Secret of that key.")
    s3_session_token: SecretStr = Field(SecretStr(""), description="Session token of that key, if it is temporary.")
    s3_region: str = Field("us-east-1", description="Region of the object store.")
    key_pepper: SecretStr = Field(
        min_length=16, description="Secret of 16 characters or more; API keys are stored under it."
    )
    file_roots: Annotated[Folders, AfterValidator(_resolved)] = Field((), description="Folders `file://` may read.")
    dataset_buckets: Names = Field((), description="Buckets that `s3://` datasets may be in.")
    models: Names = Field((), description="Hub ids or local folders that priors and teachers may load.")
    scratch: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "ddoq",
        description="Folder for a worker's files; `ddoq` in the system's temporary one.",
    )
    scratch_bytes: int = Field(
        50 * 2**30,
        gt=0,
        description="Bytes of finished units that a worker keeps in its scratch folder beside its work.",
    )
    cache_shared: bool = Field(
        False, description="Whether all owners share one cache of latents, priors and teachers; else each has its own."
    )
    cache_bytes: int = Field(
        100 * 2**30, gt=0, description="Bytes kept of each owner from job to job; what was unused longest goes first."
    )
    lease_seconds: float = Field(60, gt=0, description="A unit is given to another worker this long after a silence.")
    heartbeat_seconds: float = Field(10, gt=0, description="How often a worker extends its lease.")
    sweep_seconds: float = Field(5, gt=0, description="How often the sweep runs: see docs/jobs.md.")
    max_attempts: int = Field(
        3,
        ge=1,
        description="Attempts at a unit that may break off before the job fails; drains and servers that are away "
        "do not count.",
    )
    stall_seconds: Annotated[dict[Stage, Annotated[float, Field(gt=0)]], AfterValidator(_over_defaults)] = Field(
        default_factory=lambda: dict(STALL_SECONDS),
        description="JSON object, over the defaults: a stage that is silent for so long is given to another worker.",
    )
    max_queued_per_owner: int = Field(100, ge=1, description="Jobs of one owner that may be queued at a time.")
    max_queued: int = Field(1000, ge=1, description="Jobs of all owners that may be queued at a time.")
    retention_days: float = Field(30, gt=0, description="Artifacts are deleted this long after their job's end.")
    orphan_scan_seconds: float = Field(
        3600,
        gt=0,
        description="How often the whole bucket is compared with the database; no two services may share a bucket.",
    )
    cancel_grace_seconds: float = Field(30, gt=0, description="A worker that ignores a cancel this long is ended.")
    s3_public_endpoint: str | None = Field(
        None,
        description="Address at which callers reach the object store: downloads are sent there by presigned URLs. "
        "It must answer a range with 206. Default: they pass through the API.",
    )
    dataset_hosts: Names = Field(
        (), description="Hosts that `https://` datasets may be on; `*` is any public one, `*.example.com` any below."
    )
    hub_datasets: Names = Field(
        (), description="Hub datasets that `hf://` may read: `owner/name`, `owner/*`, or `*` for any."
    )
    hub_endpoint: Annotated[str, AfterValidator(_without_slash)] = Field(
        HUB, pattern="^https?://[^/?#@]+/?$", description="Address of the hub, or of a mirror of it."
    )
    private_networks: Networks = Field(
        (), description="Networks (CIDR) that may be reached although they are not public; separated by commas."
    )
    max_dataset_bytes: int = Field(
        200 * 2**30, gt=0, description="Bytes that are fetched of one dataset on a server at most."
    )
    max_upload_bytes: int = Field(50 * 2**30, ge=1, le=MOST_UPLOAD_BYTES, description="Bytes of one uploaded file.")
    max_open_uploads: int = Field(20, ge=1, description="Uploads of one owner that may be unfinished at a time.")
    upload_bytes_per_owner: int = Field(
        200 * 2**30, ge=1, description="Bytes of all uploads of one owner, unfinished ones as they were declared."
    )
    upload_days: float = Field(30, gt=0, description="An upload is deleted this long after its last use.")
    inspection_seconds: float = Field(60, gt=0, description="How long `validate_only` may look at a dataset.")
    inspection_bytes: int = Field(
        4 * 2**30, gt=0, description="Bytes that `validate_only` may fetch of a dataset, on the disk of the API."
    )
    inspections_at_once: int = Field(2, ge=1, description="Datasets that one API process looks at at a time.")
    max_webhook_endpoints: int = Field(10, ge=1, description="Webhook endpoints that one owner may have.")
    webhook_failing_days: float = Field(
        5, gt=0, description="An endpoint to which nothing could be delivered for so long is disabled."
    )
    reads_per_minute: int = Field(600, ge=0, description="GET and HEAD requests of one owner; 0 is any number.")
    writes_per_minute: int = Field(120, ge=0, description="All other requests of one owner; 0 is any number.")
    failed_logins_per_minute: int = Field(
        30, ge=0, description="Requests without a valid key from one address that are told why; 0 is any number."
    )
    key_cache_seconds: float = Field(
        5, ge=0, description="A process may take a key for valid for so long after it was revoked elsewhere."
    )
    allowed_hosts: Names = Field(
        ("*",), description="Host names that requests may be addressed to; `*` is any, `*.example.com` all below."
    )
    https_only: bool = Field(
        False, description="Whether clients reach the service by https alone: they are told to go on so (HSTS)."
    )
    log_format: LogFormat = Field(LogFormat.JSON, description="`json`, one object a line, or `text`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    metrics_host: str = Field("127.0.0.1", description="Address at which each process serves its metrics.")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of /metrics, one for each process on a machine; none: not served."
    )

    @field_validator("s3_secret_key")
    @classmethod
    def _key_is_whole(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        if bool(secret) != bool(info.data.get("s3_access_key")):
            raise ValueError("s3_access_key and s3_secret_key are set together, or neither is")
        return secret

    @field_validator("s3_session_token")
    @classmethod
    def _token_is_of_a_key(cls, token: SecretStr, info: ValidationInfo) -> SecretStr:
        if token and not info.data.get("s3_access_key"):
            raise ValueError("it belongs to a key: set s3_access_key and s3_secret_key too")
        return token


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        pydantic.ValidationError: a variable is missing or not usable; the message names it.
    """
    return Settings()
