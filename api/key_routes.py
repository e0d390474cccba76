"""API keys: create, list, revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.auth import KeyManager, require_scopes
from api.bodies import json_body
from api.examples import NEW_KEY
from api.openapi import body_of, problems
from api.paths import KeyId
from api.services import Using
from api.shapes import show_key
from api.views import CreatedKey, KeyList, NewKey

router = APIRouter(prefix="/v1/api-keys", tags=["api-keys"])


@router.post(
    "",
    operation_id="create_api_key",
    summary="Create a key",
    status_code=201,
    response_description="The key, with its secret, which is shown this once.",
    responses=problems(400, 401, 403, 413, 415, 422),
    openapi_extra=body_of(NewKey, NEW_KEY),
)
def create_api_key(
    caller: KeyManager, new: Annotated[NewKey, Depends(json_body(NewKey))], using: Using, response: Response
) -> CreatedKey:
    """Create a key of the caller's own owner, with no scope that the calling key lacks."""
    require_scopes(caller, new.scopes)
    key, secret = using.keys.create(caller.owner, new.name, new.scopes, new.expires_at)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(**show_key(key).model_dump(), secret=secret)


@router.get(
    "",
    operation_id="list_api_keys",
    summary="List keys",
    responses=problems(401, 403),
)
def list_api_keys(caller: KeyManager, using: Using) -> KeyList:
    """List the owner's keys, revoked ones too, without their secrets."""
    return KeyList(data=[show_key(key) for key in using.keys.list(caller.owner)])


@router.delete(
    "/{key_id}",
    operation_id="revoke_api_key",
    summary="Revoke a key",
    status_code=204,
    responses=problems(401, 403, 404),
)
def revoke_api_key(caller: KeyManager, key_id: KeyId, using: Using) -> None:
    """Refuse the key from now on, also where it is the calling one. Revoking it again changes nothing.

    Another process of the service may take it for valid for a few seconds more.
    """
    using.keys.revoke(caller.owner, key_id)
