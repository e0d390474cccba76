"""Which jobs a list holds, and where its next page is."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from api.paging import Cursor
from jobs.options import LABEL_KEY, LABEL_VALUE, MAX_LABELS
from jobs.records import JobState
from jobs.store import JobFilter

MAX_PAGE_JOBS, MAX_PAGE_EVENTS = 100, 1000

Label = Annotated[str, Field(pattern=f"^{LABEL_KEY}:{LABEL_VALUE}$")]


class Paging(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    state: list[JobState] = Field([], max_length=len(JobState), description="Only jobs in one of these states.")
    label: list[Label] = Field(
        [], max_length=MAX_LABELS, description="`key:value`: only jobs that have it; of several, only those with all."
    )
    limit: int = Field(20, ge=1, le=MAX_PAGE_JOBS, description="Jobs a page.")
    cursor: Cursor = None

    @property
    def which(self) -> JobFilter:
        """The filter."""
        pairs = (label.partition(":") for label in self.label)
        return JobFilter(frozenset(self.state), frozenset((key, value) for key, _, value in pairs))

    @property
    def listing(self) -> tuple[str, ...]:
        """What tells this list from others, whatever the order in which its filters were named."""
        return (",".join(sorted(set(self.state))), *sorted(set(self.label)))

    def following(self, cursor: str) -> str:
        """Write the header that leads to the next page of the same list."""
        filters = [*(("state", state) for state in self.state), *(("label", label) for label in self.label)]
        return next_page("/v1/jobs", [*filters, ("limit", str(self.limit)), ("cursor", cursor)])


def next_page(path: str, query: Sequence[tuple[str, str]]) -> str:
    """Write a `Link` header, by RFC 8288."""
    return f'<{path}?{urlencode(query)}>; rel="next"'
