"""The service, for asyncio: the same calls as those of `client`."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import PrivateAttr

from ddoq_client import account, exchange, jobs, sheet, streams, uploads
from ddoq_client.account_views import (
    CreatedKey,
    Delivery,
    Key,
    Limits,
    Me,
    Models,
    Usage,
    Webhook,
    WebhookWithSecret,
    Worker,
)
from ddoq_client.downloads import OnBytes, download, ignore
from ddoq_client.jobs import Config
from ddoq_client.sheet import ContactSheet
from ddoq_client.steps import Emitting
from ddoq_client.transport import AsyncDriver, find_service
from ddoq_client.views import Artifact, Event, JobView, Plan, Priority, Progress, Upload


class AsyncJob(JobView):
    """A job as it was when it was asked for; its calls ask again, by the client that it came from."""

    _client: "AsyncClient" = PrivateAttr()

    async def refresh(self) -> "AsyncJob":
        """Look at it again."""
        return await self._client.job(self.id)

    async def wait(self, timeout_seconds: float | None = None) -> "AsyncJob":
        """Wait for its end."""
        return await self._client.wait(self.id, timeout_seconds)

    async def cancel(self) -> "AsyncJob":
        """Ask for its end."""
        return await self._client.cancel(self.id)

    async def download(
        self, folder: Path | str = ".", names: Collection[str] | None = None, on_bytes: OnBytes = ignore
    ) -> tuple[Path, ...]:
        """Bring its files, all if none are named, into a folder."""
        return await self._client.download(self.id, folder, names, on_bytes)

    async def images(self, archive: str | None = None) -> ContactSheet:
        """Show its distilled images, of the first archive if none is named; downloads that for the time being."""
        return await self._client.images(self.id, archive)


class AsyncClient:
    """Calls one service with one API key. For one event loop.

    Every call raises a ServiceError when it is refused or not answered: see `ddoq_client.errors`.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        """Name the service and the key; by default DDOQ_URL and DDOQ_API_KEY name them."""
        self._driver = AsyncDriver(*find_service(url, key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._driver.http.aclose()

    async def submit(
        self,
        config: Config,
        *,
        priority: Priority | None = None,
        labels: Mapping[str, str] | None = None,
        queue_deadline_s: int | None = None,
        timeout_s: int | None = None,
    ) -> AsyncJob:
        """Ask for a distillation; `config` is a mapping, a pydantic model, or the path of a JSON file.

        Sent again after a break, it still makes one job.
        """
        options = jobs.job_options(priority, labels, queue_deadline_s, timeout_s)
        return self._own(await self._driver.run(jobs.submit(config, options)))

    async def plan(self, config: Config) -> Plan:
        """Ask what a job would be, or why it would be refused; nothing is stored."""
        return await self._driver.run(jobs.plan(config))

    async def job(self, job_id: str) -> AsyncJob:
        """Look at a job."""
        return self._own(await self._driver.run(jobs.job(job_id)))

    def jobs(
        self,
        *,
        status: str | Sequence[str] = (),
        label: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """List jobs, newest first: those in one of the states and with all the labels, `limit` at most."""
        return self._own_each(jobs.jobs(status, label or {}, limit))

    def watch(self, job_id: str) -> AsyncIterator[AsyncJob]:
        """Look at a job now and whenever it changes, until it has ended."""
        return self._own_each(jobs.watch(job_id))

    async def wait(self, job_id: str, timeout_seconds: float | None = None) -> AsyncJob:
        """Wait for the end of a job, whatever it is; `raise_for_failure` of the answer tells a good one."""
        return self._own(await self._driver.run(jobs.wait(job_id, timeout_seconds)))

    async def cancel(self, job_id: str) -> AsyncJob:
        """Ask for the end of a job."""
        return self._own(await self._driver.run(jobs.cancel(job_id)))

    async def retry(self, job_id: str) -> AsyncJob:
        """Ask for another try of a job that has ended; answers the new job."""
        return self._own(await self._driver.run(jobs.retry(job_id)))

    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its files."""
        await self._driver.run(exchange.remove(exchange.path_of("jobs", job_id)))

    def events(self, job_id: str) -> AsyncIterator[Event]:
        """List what has happened to a job, oldest first."""
        return self._driver.iterate(jobs.events(job_id))

    def stream(self, job_id: str) -> AsyncIterator[Event | Progress]:
        """Follow what has happened to a job and what happens, until it has ended."""
        return self._driver.iterate(streams.stream(job_id))

    async def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """List the files that a job made."""
        return await self._driver.run(jobs.artifacts(job_id))

    async def download(
        self,
        job_id: str,
        folder: Path | str = ".",
        names: Collection[str] | None = None,
        on_bytes: OnBytes = ignore,
    ) -> tuple[Path, ...]:
        """Bring files of a job, all if none are named, into a folder; go on where an earlier call broke off."""
        return await self._driver.run(download(job_id, Path(folder), names, on_bytes))

    async def images(self, job_id: str, archive: str | None = None) -> ContactSheet:
        """Show the distilled images of a job."""
        return await self._driver.run(sheet.sheet_of_job(job_id, archive))

    async def upload(self, path: Path | str, on_bytes: OnBytes = ignore) -> Upload:
        """Send a file to be a dataset; when the same file was begun before, only what is missing of it."""
        return await self._driver.run(uploads.upload(Path(path), on_bytes))

    def uploads(self) -> AsyncIterator[Upload]:
        """List uploads, newest first."""
        return self._driver.iterate(account.uploads())

    async def delete_upload(self, upload_id: str) -> None:
        """Delete an upload."""
        await self._driver.run(account.delete_upload(upload_id))

    async def me(self) -> Me:
        """Look at the API key."""
        return await self._driver.run(account.me())

    async def limits(self) -> Limits:
        """Look at what the installation allows, and how much of it is used."""
        return await self._driver.run(account.limits())

    async def usage(self) -> Usage:
        """Look at what the owner has used in 30 days."""
        return await self._driver.run(account.usage())

    async def models(self) -> Models:
        """Look at what a config may name."""
        return await self._driver.run(account.models())

    async def workers(self) -> tuple[Worker, ...]:
        """List workers that were seen lately."""
        return await self._driver.run(account.workers())

    async def keys(self) -> tuple[Key, ...]:
        """List the owner's API keys."""
        return await self._driver.run(account.keys())

    async def create_key(self, name: str, scopes: Sequence[str], expires_at: datetime | None = None) -> CreatedKey:
        """Create an API key of the same owner."""
        return await self._driver.run(account.create_key(name, scopes, expires_at))

    async def revoke_key(self, key_id: str) -> None:
        """Refuse an API key from now on."""
        await self._driver.run(account.revoke_key(key_id))

    async def webhooks(self) -> tuple[Webhook, ...]:
        """List webhook endpoints."""
        return await self._driver.run(account.webhooks())

    async def create_webhook(
        self, url: str, events: Sequence[str] | None = None, description: str = ""
    ) -> WebhookWithSecret:
        """Tell a URL of the owner's jobs from now on, of all events if none are named."""
        return await self._driver.run(account.create_webhook(url, events, description))

    async def change_webhook(self, endpoint_id: str, **changes: Any) -> Webhook:
        """Change `url`, `events`, `description` or `disabled` of a webhook endpoint."""
        return await self._driver.run(account.change_webhook(endpoint_id, changes))

    async def delete_webhook(self, endpoint_id: str) -> None:
        """Remove a webhook endpoint."""
        await self._driver.run(account.delete_webhook(endpoint_id))

    async def rotate_webhook_secret(self, endpoint_id: str, overlap_s: int | None = None) -> WebhookWithSecret:
        """Draw a new secret; for so many seconds messages are signed with the old one too."""
        return await self._driver.run(account.rotate_webhook_secret(endpoint_id, overlap_s))

    async def ping_webhook(self, endpoint_id: str) -> Delivery:
        """Send a webhook endpoint a ping."""
        return await self._driver.run(account.ping_webhook(endpoint_id))

    def deliveries(
        self, endpoint_id: str, state: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Delivery]:
        """List what was sent to a webhook endpoint and what waits, newest first."""
        return self._driver.iterate(account.deliveries(endpoint_id, state, limit))

    async def redeliver(self, endpoint_id: str, message_id: str) -> Delivery:
        """Send a message to a webhook endpoint again."""
        return await self._driver.run(account.redeliver(endpoint_id, message_id))

    def _own(self, view: JobView) -> AsyncJob:
        job = AsyncJob.model_construct(view.model_fields_set, **dict(view))
        job._client = self
        return job

    async def _own_each(self, flow: Emitting[JobView]) -> AsyncIterator[AsyncJob]:
        async with aclosing(self._driver.iterate(flow)) as views:
            async for view in views:
                yield self._own(view)
