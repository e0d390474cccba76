"""Whether the process is alive, and whether it can do its work."""

from fastapi import APIRouter
from sqlalchemy.exc import OperationalError

from api.errors import Fault, NotReadyError
from api.openapi import problems
from api.services import Services, Using
from api.views import Alive, Ready
from jobs.schema import is_at_head

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="is_alive", summary="Is the process alive?")
async def is_alive() -> Alive:
    """Touch nothing."""
    return Alive(status="ok")


@router.get("/readyz", operation_id="is_ready", summary="Can it do its work?", responses=problems(NotReadyError))
def is_ready(using: Using) -> Ready:
    """Ask the database, the object store and the broker."""
    faults = [fault for fault in (_schema(using), _storage(using), _broker(using)) if fault]
    if faults:
        raise NotReadyError("; ".join(fault.message for fault in faults), faults)
    return Ready(status="ready")


def _schema(using: Services) -> Fault | None:
    try:
        at_head = is_at_head(using.engine)
    except OperationalError:
        return Fault("", "database", "the database does not answer")
    return None if at_head else Fault("", "schema", "the database is not migrated; run 'ddoq db upgrade'")


def _storage(using: Services) -> Fault | None:
    return None if using.objects.is_ready() else Fault("", "storage", "the object store or its bucket is away")


def _broker(using: Services) -> Fault | None:
    return None if using.queue.is_ready() else Fault("", "broker", "the broker does not answer")
