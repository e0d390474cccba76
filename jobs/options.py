"""How a job is to be run, beside what it is to make: not of the config, and so not of the archive."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MONTH_SECONDS = 30 * 24 * 3600
MAX_LABELS = 16
LABEL_KEY = "[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = "([A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?)?"

LabelKey = Annotated[str, Field(pattern=f"^{LABEL_KEY}$")]
LabelValue = Annotated[str, Field(pattern=f"^{LABEL_VALUE}$")]


class Priority(StrEnum):
    """Whose turn it is first, lowest first: the order is that of the column `jobs.priority`."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def level(self) -> int:
        """The number that is stored, from 0."""
        return list(Priority).index(self)


class JobOptions(BaseModel):
    """How the job is to be run. Nothing here changes a byte of the archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: Priority = Field(
        Priority.NORMAL,
        description="Jobs of a higher priority are begun first; among equals the owner with less at work, then age.",
    )
    queue_deadline_s: int | None = Field(
        None,
        ge=1,
        le=MONTH_SECONDS,
        description="Seconds from now; a job that no worker has begun by then expires. Default: it waits.",
    )
    timeout_s: int | None = Field(
        None,
        ge=1,
        le=MONTH_SECONDS,
        description="Seconds from its first start; a job that has not ended by then fails. Default: no limit.",
    )
    labels: dict[LabelKey, LabelValue] = Field(
        {},
        max_length=MAX_LABELS,
        description="Names and values of your own, by which jobs can be listed. Each has up to 63 letters, digits and "
        "`.`, `_`, `/`, `-`, begins and ends with a letter or a digit; a value may be empty.",
    )
