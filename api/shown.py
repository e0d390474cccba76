"""Jobs as they are answered. What has ended stays as it is, so it is made once and kept."""

from dataclasses import dataclass
from datetime import UTC, datetime

from api.shapes import show_job, tag_of
from jobs.kept import Kept
from jobs.records import Job, Version
from jobs.states import TERMINAL
from jobs.store import JobFilter, Store

MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Shown:
    """An answer about a job: JSON of a `JobView`, and the tag of it."""

    job_id: str
    body: bytes
    tag: str
    has_ended: bool


def shown(job: Job) -> Shown:
    """Write what is answered about a job now."""
    view = show_job(job, datetime.now(UTC))
    body = view.model_dump_json().encode()
    return Shown(job.id, body, tag_of(view, body), job.state in TERMINAL)


def page_of(jobs: list[Shown], following: str | None) -> bytes:
    """Write a `JobPage`; the cursor is none where no page follows."""
    cursor = f'"{following}"' if following else "null"
    return b'{"data":[' + b",".join(job.body for job in jobs) + b'],"next_cursor":' + cursor.encode() + b"}"


class ShownJobs:
    """Reads jobs to show them; of those that have ended, the answers are kept, the last asked for. For many threads."""

    def __init__(self, store: Store, most_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._kept: Kept[tuple[Version, Shown]] = Kept(most_bytes)

    def get(self, owner: str, job_id: str) -> Shown:
        """Show a job; raises what `Store.get` does."""
        if job_id in self._kept and (found := self._find(self._store.version(owner, job_id))):
            return found
        found = shown(self._store.get(owner, job_id))
        if not found.has_ended:
            return found
        version = self._store.version(owner, job_id)  # first: what is read after it may be newer, but never older
        self._keep(version, found := shown(self._store.get(owner, job_id)))
        return found

    def page(self, owner: str, which: JobFilter, after: str | None, limit: int) -> tuple[list[Shown], str | None]:
        """Show up to `limit` jobs, as `Store.page` reads them."""
        versions, last = self._store.versions(owner, which, after, limit)
        found = {version.job_id: kept for version in versions if (kept := self._find(version))}
        missing = {version.job_id: version for version in versions if version.job_id not in found}
        for job in self._store.several(owner, list(missing)):
            found[job.id] = shown(job)
            self._keep(missing[job.id], found[job.id])
        return [found[version.job_id] for version in versions if version.job_id in found], last

    def _find(self, version: Version) -> Shown | None:
        kept = self._kept.get(version.job_id)
        return kept[1] if kept and kept[0] == version else None

    def _keep(self, version: Version, found: Shown) -> None:
        """Keep what the job is answered with while it has this version, if that is its last but for its expiry."""
        if version.state in TERMINAL:
            self._kept.put(version.job_id, len(found.body), (version, found))
