"""The application: routes, errors and the sweep, put together. Loads no torch."""

import gc
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
    usage_routes,
    webhook_routes,
)
from api.body_limits import BodyLimit
from api.headers import AnswerHeaders
from api.hosts import TrustedHosts
from api.metrics import ApiMetrics
from api.observing import Observe
from api.openapi import ANY_PROBLEM, DESCRIPTION, TAGS, describe
from api.pages import assets, compare_page, job_files, job_page, jobs_page, new_job, sign_in, uploading
from api.pages.rendering import load_templates
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
    usage_routes,
    key_routes,
    webhook_routes,
    health,
    docs_page,
    assets,
    sign_in,
    jobs_page,
    job_page,
    job_files,
    compare_page,
    new_job,
    uploading,
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    metrics: ApiMetrics = app.state.metrics
    load_templates()
    gc.collect()
    gc.freeze()  # what was imported stays: to look through it for garbage again and again is a sixth of a request
    with sweeping(services, metrics.sweeps.inc), services.waker.running():
        yield
    services.watcher.close()
    services.engine.dispose()
    services.rates.close()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application; it connects to nothing before it is started.

    Args:
        settings: Where the servers are; by default from the environment (`DDOQ_*`).
    """
    settings = settings or load_settings()
    services = open_services(settings)
    metrics = ApiMetrics(services.engine)
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
        telemetry={"tracing": False, "metrics": False, "logs": False},  # api.observing tells of requests
        lifespan=_lifespan,
        middleware=[
            Middleware(RequestId),
            Middleware(Observe, metrics=metrics),
            Middleware(AnswerHeaders, https_only=settings.https_only),
            Middleware(TrustedHosts, allowed=settings.allowed_hosts),
            Middleware(BodyLimit),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.services = services
    app.state.metrics = metrics
    for routes in ROUTES:
        app.include_router(routes.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # the framework's own way to extend it
    return app
