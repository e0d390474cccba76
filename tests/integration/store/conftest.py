"""The parts below the API, each on a fresh database and bucket."""

from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import Engine

from jobs.artifacts import ObjectStore, make_s3_client
from jobs.keys import Keys
from jobs.leases import Leases
from jobs.queue import Queue, make_celery
from jobs.schema import make_engine
from jobs.settings import Settings
from jobs.store import Store
from jobs.sweep import Sweeper


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


@pytest.fixture
def leases(engine: Engine, settings: Settings) -> Leases:
    return Leases(engine, settings.lease_seconds)


@pytest.fixture
def keys(engine: Engine, settings: Settings) -> Keys:
    return Keys(engine, settings.key_pepper)


@pytest.fixture
def objects(settings: Settings) -> Iterator[ObjectStore]:
    client = make_s3_client(settings)
    yield ObjectStore(client, settings.s3_bucket)
    client.close()


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    app = make_celery(settings)
    yield Queue(app)
    app.close()


@pytest.fixture
def broker(settings: Settings) -> Iterator[Redis]:
    """Look at what is in the broker."""
    with Redis.from_url(settings.broker_url) as broker:
        yield broker


@pytest.fixture
def sweeper(engine: Engine, objects: ObjectStore, queue: Queue, settings: Settings) -> Sweeper:
    return Sweeper(engine, objects, queue, settings)
