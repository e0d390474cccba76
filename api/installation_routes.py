"""What this installation offers, who works for it, who is calling, and how much may be used."""

import inspect
from collections.abc import Iterable
from typing import get_args

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth import Reader
from api.bodies import MAX_BODY_BYTES
from api.installation_views import (
    KindView,
    LimitsView,
    MethodView,
    MeView,
    ModelList,
    NetworkView,
    Use,
    WorkerList,
    WorkerView,
)
from api.listing import MAX_PAGE_EVENTS, MAX_PAGE_JOBS
from api.openapi import problems
from api.preferences import MAX_WAIT_SECONDS
from api.services import Using
from api.streams import STREAMS_A_KEY
from ddoq.methods import ROWS
from ddoq.network_config import ARCHITECTURES
from ddoq.prior_config import Prior
from ddoq.protocols import PROTOCOLS
from ddoq.teacher_config import TeacherConfig
from jobs.options import MAX_LABELS
from jobs.presence import read_present
from jobs.tombstones import KEPT_DAYS

router = APIRouter(prefix="/v1", tags=["installation"])


@router.get("/models", operation_id="list_models", summary="List what a config may name", responses=problems(401, 403))
async def list_models(_caller: Reader, using: Using) -> ModelList:
    """List the models that this installation allows, and the methods, priors, teachers and networks that it has."""
    return ModelList(
        models=sorted(using.settings.models),
        methods=[
            MethodView(name=name, reducer=row.reducer, canvas=row.canvas, weights=row.weights)
            for name, row in ROWS.items()
        ],
        priors=_kinds(get_args(Prior)),
        teachers=_kinds(get_args(TeacherConfig)),
        networks=[NetworkView(name=name, least_side=row.least_side) for name, row in ARCHITECTURES.items()],
        protocols=list(PROTOCOLS),
    )


@router.get("/workers", operation_id="list_workers", summary="List who is working", responses=problems(401, 403))
def list_workers(_caller: Reader, using: Using) -> WorkerList:
    """List the workers that were seen within the last minute, and the stage of what each works on."""
    return WorkerList(
        data=[
            WorkerView(name=worker.name, since=worker.since, seen_at=worker.seen_at, stage=worker.stage)
            for worker in read_present(using.engine)
        ]
    )


@router.get("/me", operation_id="get_me", summary="Look at one's own key", responses=problems(401, 403))
async def get_me(caller: Reader) -> MeView:
    """Tell which key the request came with, and what it may be used for."""
    return MeView(
        key_id=caller.id,
        name=caller.name,
        owner=caller.owner,
        scopes=list(caller.scopes),
        created_at=caller.created_at,
        expires_at=caller.expires_at,
    )


@router.get("/limits", operation_id="get_limits", summary="Look at what may be used", responses=problems(401, 403))
def get_limits(caller: Reader, using: Using) -> LimitsView:
    """Tell every limit of this installation, and how much of it the caller uses; `/v1/usage` has the owner's quota."""
    settings = using.settings
    return LimitsView(
        queued_jobs=Use(used=using.store.n_queued(caller.owner), limit=settings.max_queued_per_owner),
        queued_jobs_of_all=settings.max_queued,
        event_streams=Use(used=using.streams.n_open(caller.id), limit=STREAMS_A_KEY),
        reads_per_minute=settings.reads_per_minute,
        writes_per_minute=settings.writes_per_minute,
        body_bytes=MAX_BODY_BYTES,
        upload_bytes=settings.max_upload_bytes,
        upload_bytes_of_owner=settings.upload_bytes_per_owner,
        open_uploads=settings.max_open_uploads,
        webhook_endpoints=settings.max_webhook_endpoints,
        page_jobs=MAX_PAGE_JOBS,
        page_events=MAX_PAGE_EVENTS,
        wait_seconds=MAX_WAIT_SECONDS,
        labels=MAX_LABELS,
        retention_days=settings.retention_days,
        tombstone_days=KEPT_DAYS,
    )


def _kinds(models: Iterable[type[BaseModel]]) -> list[KindView]:
    return [
        KindView(kind=model.model_fields["kind"].default, description=(inspect.getdoc(model) or "").partition("\n")[0])
        for model in models
    ]
