"""What the routes call, opened once for each process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from api.cursors import Cursors
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.backpressure import QueueLimits
from jobs.keys import Keys
from jobs.queue import Queue, make_celery
from jobs.rates import Rates
from jobs.redaction import learn
from jobs.schema import make_engine
from jobs.settings import Settings
from jobs.store import Store


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
    rates: Rates


def open_services(settings: Settings) -> Services:
    """Make the drivers; none of them connects before it is used."""
    learn(settings)
    engine = make_engine(settings.database_url)
    return Services(
        settings=settings,
        engine=engine,
        store=Store(engine, QueueLimits(settings.max_queued_per_owner, settings.max_queued)),
        keys=Keys(engine, settings.key_pepper, settings.key_cache_seconds),
        objects=ObjectStore(make_s3_client(settings), settings.s3_bucket),
        queue=Queue(make_celery(settings)),
        cursors=Cursors(settings.key_pepper.get_secret_value().encode()),
        rates=Rates(settings.broker_url),
    )


def _services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Using = Annotated[Services, Depends(_services_of)]
