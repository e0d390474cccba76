"""A request for a job, once it was read: let in once, however often it is sent."""

from api.services import Services
from api.views import JobRequest
from jobs.admission import admit
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
