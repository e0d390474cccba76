"""Answer about a job at once, or when there is news of it: `Prefer: wait`. Nobody who waits holds a thread."""

import asyncio

from fastapi.concurrency import run_in_threadpool

from api.ranges import is_known
from api.services import Services
from api.shown import Shown


async def see_job(using: Services, owner: str, job_id: str, known: str | None, seconds: int | None) -> Shown:
    """Show a job as soon as there is news of it, after so many seconds at the latest.

    Args:
        using: Where jobs are.
        owner: Whose job it is.
        job_id: The job; one that has ended is shown at once.
        known: `If-None-Match`: any other answer is news. None: only the end is.
        seconds: None to show it at once.
    """
    if not seconds:
        return await _show(using, owner, job_id)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    with using.watcher.watch(job_id) as watch:
        shown = await _show(using, owner, job_id)
        while not shown.has_ended and (known is None or is_known(known, opaque(shown.tag))):
            is_over = not await watch.news(ends_at - loop.time())
            if is_over or known is not None or watch.pulse is None or watch.pulse.has_ended:
                shown = await _show(using, owner, job_id)
            if is_over:
                break
    return shown


def opaque(tag: str) -> str:
    """Say of a tag what weak comparison compares."""
    return tag.removeprefix("W/")


async def _show(using: Services, owner: str, job_id: str) -> Shown:
    return await run_in_threadpool(using.shown.get, owner, job_id)
