"""What programs and people do with jobs: ask for one, cancel it, try it again."""

from api.services import Services
from api.views import JobRequest
from jobs.admission import admit
from jobs.errors import JobEndedError
from jobs.options import JobOptions
from jobs.records import Job, JobState
from jobs.store import Submitted
from jobs.submitting import Idempotency


def submit(using: Services, owner: str, request: JobRequest, idempotency: Idempotency | None) -> Submitted:
    """Queue a job that is admitted; one that came before was, whatever has become of its dataset since."""
    before = using.store.submitted(owner, idempotency) if idempotency else None
    if before is not None:
        return Submitted(before, is_new=False)
    config = request.config
    admit(config, using.settings)
    return using.store.submit_once(owner, config, request.job, idempotency)


def retry(using: Services, owner: str, job_id: str, idempotency: Idempotency | None) -> Submitted:
    """Queue another try that is admitted; one that was asked for before was, whatever has become of the job since."""
    before = using.store.submitted(owner, idempotency) if idempotency else None
    if before is not None:
        return Submitted(before, is_new=False)
    job = using.store.ended(owner, job_id)
    admit(job.config, using.settings)
    return using.store.submit_once(owner, job.config, options_of(job), idempotency, retried_from=job.id)


def cancel(using: Services, owner: str, job_id: str) -> Job:
    """Stop a job; one that is cancelled stays so.

    Raises:
        JobEndedError: it ended otherwise before.
    """
    try:
        return using.store.cancel(owner, job_id)
    except JobEndedError:
        job = using.store.get(owner, job_id)
        if job.state is not JobState.CANCELLED:
            raise
        return job


def options_of(job: Job) -> JobOptions:
    """Say how a job was asked to be run."""
    deadline = job.queue_deadline_at
    return JobOptions(
        priority=job.priority,
        queue_deadline_s=round((deadline - job.created_at).total_seconds()) if deadline else None,
        timeout_s=job.timeout_seconds,
        labels=dict(job.labels),
    )
