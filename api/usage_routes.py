"""What an owner has used."""

from fastapi import APIRouter

from api.auth import Reader
from api.openapi import problems
from api.services import Using
from api.usage_views import DayView, QuotaView, UsageView
from jobs.usage import Usage, read_usage

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", operation_id="get_usage", summary="See what you have used", responses=problems(401, 403))
def get_usage(caller: Reader, using: Using) -> UsageView:
    """Add up one's own jobs of the last 30 days, and show beside it what one may use."""
    return show_usage(read_usage(using.engine, caller.owner))


def show_usage(usage: Usage) -> UsageView:
    """Show what an owner has used."""
    quota = usage.quota
    return UsageView(
        since=usage.since,
        jobs=dict(usage.jobs),
        jobs_in_24_hours=usage.n_jobs_today,
        worker_seconds=round(sum(usage.worker_seconds.values()), 3),
        worker_seconds_by_stage=dict(usage.worker_seconds),
        artifact_bytes=usage.artifact_bytes,
        days=[DayView(day=day.day, jobs=day.n_jobs, worker_seconds=day.worker_seconds) for day in usage.days],
        quota=QuotaView(jobs_per_day=quota.jobs_per_day, worker_seconds_per_month=quota.worker_seconds_per_month),
    )
