"""How much an owner may upload."""

from sqlalchemy import Connection, func, select

from jobs.records import UploadState
from jobs.settings import Settings
from jobs.tables import uploads
from jobs.upload_errors import TooManyUploadsError, UploadQuotaError, UploadTooLargeError

COUNTING = 0x64646F75  # any number, the same in all processes: one request at a time counts the uploads of an owner


def require_room(connection: Connection, most: Settings, owner: str, size_bytes: int, n_new: int = 0) -> None:
    """Refuse bytes that are too many, alone or beside the owner's other uploads, and too many unfinished uploads.

    What is stored in the same transaction counts for everybody who comes after it.

    Raises:
        UploadTooLargeError, TooManyUploadsError, UploadQuotaError: as they say.
    """
    if size_bytes > most.max_upload_bytes:
        raise UploadTooLargeError(f"{size_bytes} bytes are more than the {most.max_upload_bytes} that are taken")
    count_alone(connection, owner)
    n_open = func.count().filter(uploads.c.state == UploadState.OPEN)
    totals = select(n_open.label("n_open"), func.coalesce(func.sum(uploads.c.size_bytes), 0).label("n_bytes"))
    found = connection.execute(totals.where(uploads.c.owner == owner)).one()
    if found.n_open + n_new > most.max_open_uploads:
        raise TooManyUploadsError(f"{found.n_open} uploads are unfinished, and {most.max_open_uploads} may be")
    if found.n_bytes + size_bytes > most.upload_bytes_per_owner:
        raise UploadQuotaError(
            f"{size_bytes} bytes beside the {found.n_bytes} of other uploads are more than the "
            f"{most.upload_bytes_per_owner} that an owner may have"
        )


def count_alone(connection: Connection, owner: str) -> None:
    """Let nobody else count or begin uploads of an owner until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(COUNTING, func.hashtext(owner))))
