"""The application: routes, errors and the sweep, put together. Loads no torch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware

from api import (
    artifact_routes,
    docs_page,
    event_routes,
    health,
    installation_routes,
    jobs_routes,
    key_routes,
    upload_routes,
    webhook_routes,
)
from api.openapi import ANY_PROBLEM, DESCRIPTION, TAGS, describe
from api.problems import HANDLERS
from api.request_id import RequestId
from api.services import Services, open_services
from api.sweeping import sweeping
from jobs.settings import Settings, load_settings

ROUTES = (
    jobs_routes,
    event_routes,
    artifact_routes,
    upload_routes,
    installation_routes,
    key_routes,
    webhook_routes,
    health,
    docs_page,
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    with sweeping(services), services.waker.running():
        yield
    services.engine.dispose()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application; it connects to nothing before it is started.

    Args:
        settings: Where the servers are; by default from the environment (`DDOQ_*`).
    """
    app = FastAPI(
        title="ddoq",
        version="0.1.0",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        responses=ANY_PROBLEM,
        docs_url=None,  # both pages would load scripts from elsewhere; ours is api.docs_page
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        lifespan=_lifespan,
        middleware=[Middleware(RequestId)],
        exception_handlers=HANDLERS,
    )
    app.state.services = open_services(settings or load_settings())
    for routes in ROUTES:
        app.include_router(routes.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # the framework's own way to extend it
    return app
