"""What the routes call, opened once for each process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.cursors import Cursors
from ddoq.guard import Rules
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.backpressure import QueueLimits
from jobs.keys import Keys
from jobs.queue import Queue, make_celery
from jobs.schema import make_engine
from jobs.settings import Settings
from jobs.store import Store
from jobs.webhook_deliveries import Deliveries
from jobs.webhook_secrets import Vault
from jobs.webhooks import Webhooks


@dataclass(frozen=True)
class Services:
    """The drivers behind the routes; each is safe to share between threads."""

    settings: Settings
    engine: Engine
    store: Store
    keys: Keys
    objects: ObjectStore
    queue: Queue
    cursors: Cursors
    webhooks: Webhooks
    deliveries: Deliveries


def open_services(settings: Settings) -> Services:
    """Make the drivers; none of them connects before it is used."""
    engine = make_engine(settings.database_url)
    return Services(
        settings=settings,
        engine=engine,
        store=Store(engine, QueueLimits(settings.max_queued_per_owner, settings.max_queued)),
        keys=Keys(engine, settings.key_pepper),
        objects=ObjectStore(make_s3_client(settings), settings.s3_bucket),
        queue=Queue(make_celery(settings)),
        cursors=Cursors(settings.key_pepper.get_secret_value().encode()),
        webhooks=_open_webhooks(engine, settings),
        deliveries=Deliveries(engine),
    )


def _open_webhooks(engine: Engine, settings: Settings) -> Webhooks:
    rules = Rules(settings.private_networks)
    return Webhooks(engine, Vault(settings.key_pepper), rules, settings.max_webhook_endpoints)


def _services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Using = Annotated[Services, Depends(_services_of)]
