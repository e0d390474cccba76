"""What the routes call, opened once for each process."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.cursors import Cursors
from api.pages.tokens import SessionTokens
from api.receiving import Receiver
from api.shown import ShownJobs
from api.streams import Streams
from api.waking import Waker
from api.watching import Watcher
from ddoq.guard import Rules
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.backpressure import QueueLimits
from jobs.inspecting import Inspector
from jobs.kept_json import KeptJson
from jobs.keys import Keys
from jobs.positions import Line
from jobs.previews import Previews
from jobs.queue import Queue, make_celery
from jobs.rates import Rates
from jobs.redaction import learn
from jobs.schema import make_engine
from jobs.settings import Settings
from jobs.store import Store
from jobs.uploads import Uploads, open_uploads
from jobs.webhook_deliveries import Deliveries
from jobs.webhook_secrets import Vault
from jobs.webhooks import Webhooks

LINE_SECONDS = 0.5  # for so long a queue position may be that of before


@dataclass(frozen=True)
class Services:
    """The drivers behind the routes; each is safe to share between threads."""

    settings: Settings
    engine: Engine
    store: Store
    shown: ShownJobs
    keys: Keys
    objects: ObjectStore
    queue: Queue
    waker: Waker
    cursors: Cursors
    session_tokens: SessionTokens
    watcher: Watcher
    streams: Streams
    public_objects: ObjectStore | None  # under the address at which callers reach it, if they do
    kept_json: KeptJson
    previews: Previews
    uploads: Uploads
    receiver: Receiver
    inspector: Inspector
    webhooks: Webhooks
    deliveries: Deliveries
    rates: Rates


def open_services(settings: Settings) -> Services:
    """Make the drivers; none of them connects before it is used."""
    learn(settings)
    pepper = settings.key_pepper.get_secret_value().encode()
    engine = make_engine(settings.database_url)
    queue, line = Queue(make_celery(settings)), Line(LINE_SECONDS)
    limits = QueueLimits(settings.max_queued_per_owner, settings.max_queued)
    store = Store(engine, limits, line, timedelta(days=settings.retention_days))
    uploads = open_uploads(engine, settings)
    objects = ObjectStore(make_s3_client(settings), settings.s3_bucket)
    kept_json = KeptJson(objects)
    return Services(
        settings=settings,
        engine=engine,
        store=store,
        shown=ShownJobs(store),
        keys=Keys(engine, settings.key_pepper, settings.key_cache_seconds),
        objects=objects,
        kept_json=kept_json,
        previews=Previews(engine, objects, kept_json),
        queue=queue,
        waker=Waker(engine, queue),
        cursors=Cursors(pepper),
        session_tokens=SessionTokens(pepper),
        watcher=Watcher(engine, line),
        streams=Streams(),
        public_objects=_open_public(settings),
        uploads=uploads,
        receiver=Receiver(),
        inspector=Inspector(settings, uploads),
        webhooks=_open_webhooks(engine, settings),
        deliveries=Deliveries(engine),
        rates=Rates(settings.broker_url),
    )


def _open_public(settings: Settings) -> ObjectStore | None:
    if settings.s3_public_endpoint is None:
        return None
    public = settings.model_copy(update={"s3_endpoint": settings.s3_public_endpoint})
    return ObjectStore(make_s3_client(public), settings.s3_bucket)


def _open_webhooks(engine: Engine, settings: Settings) -> Webhooks:
    rules = Rules(settings.private_networks)
    return Webhooks(engine, Vault(settings.key_pepper), rules, settings.max_webhook_endpoints)


def services_of(request: Request) -> Services:
    """Answer the services of the application that was asked."""
    services: Services = request.app.state.services
    return services


async def _using(request: Request) -> Services:
    return services_of(request)  # in the event loop: what is no coroutine would be called in a thread


Using = Annotated[Services, Depends(_using)]
