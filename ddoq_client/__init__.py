"""The client of the distillation service, for Python that waits and for asyncio.

Needs nothing of what the service needs: httpx and pydantic alone.
"""

from ddoq_client.account_views import (
    CreatedKey,
    Delivery,
    Key,
    Limits,
    Me,
    Models,
    Usage,
    Webhook,
    WebhookWithSecret,
    Worker,
)
from ddoq_client.async_client import AsyncClient, AsyncJob
from ddoq_client.client import Client, Job
from ddoq_client.errors import (
    ArchiveError,
    ArtifactError,
    ChecksumError,
    ConfigError,
    Fault,
    JobFailedError,
    NotAnsweredError,
    NotConfiguredError,
    NotDdoqError,
    Problem,
    ProblemError,
    ServiceError,
    UnsafeNameError,
    WaitTimeoutError,
)
from ddoq_client.sheet import ContactSheet, read_sheet
from ddoq_client.views import Artifact, Event, Failure, Plan, Priority, Progress, StageProgress, Upload

__all__ = [
    "ArchiveError",
    "Artifact",
    "ArtifactError",
    "AsyncClient",
    "AsyncJob",
    "ChecksumError",
    "Client",
    "ConfigError",
    "ContactSheet",
    "CreatedKey",
    "Delivery",
    "Event",
    "Failure",
    "Fault",
    "Job",
    "JobFailedError",
    "Key",
    "Limits",
    "Me",
    "Models",
    "NotAnsweredError",
    "NotConfiguredError",
    "NotDdoqError",
    "Plan",
    "Priority",
    "Problem",
    "ProblemError",
    "Progress",
    "ServiceError",
    "StageProgress",
    "UnsafeNameError",
    "Upload",
    "Usage",
    "WaitTimeoutError",
    "Webhook",
    "WebhookWithSecret",
    "Worker",
    "read_sheet",
]
