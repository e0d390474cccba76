"""The shape of what an owner has used."""

from datetime import date, datetime

from pydantic import Field

from api.views import View
from ddoq.events import Stage
from jobs.records import JobState


class DayView(View):
    """The jobs that were sent on one day of UTC."""

    day: date
    jobs: int
    worker_seconds: float = Field(description="That workers have been busy with them since.")


class QuotaView(View):
    """What the owner may use; null is any amount."""

    jobs_per_day: int | None = Field(description="Jobs sent within 24 hours.")
    worker_seconds_per_month: int | None = Field(description="Seconds of workers for the jobs of 30 days.")


class UsageView(View):
    """What the jobs of 30 days add up to."""

    since: datetime = Field(description="Jobs that were sent before are not counted.")
    jobs: dict[JobState, int] = Field(description="How many jobs are in each state.")
    jobs_in_24_hours: int
    worker_seconds: float = Field(description="Of all stages: the last attempt at each unit.")
    worker_seconds_by_stage: dict[Stage, float]
    artifact_bytes: int = Field(description="Bytes of artifacts that are kept now, of jobs of any age.")
    days: list[DayView] = Field(description="Days on which jobs were sent, oldest first.")
    quota: QuotaView
