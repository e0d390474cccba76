"""Sign in with an API key, and out."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.auth import limit_failures
from api.errors import NoSessionError
from api.pages.cookies import begin_session, end_session
from api.pages.forms import FormOf
from api.pages.origins import require_own_origin
from api.pages.rendering import show
from api.pages.sessions import Leaving, Token, find_session
from api.services import Services, Using
from jobs.errors import KeyRejectedError

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def ask_for_key(request: Request, using: Using, token: Token = None, to: str = "/") -> Response:
    """Ask for a key, unless there is a session."""
    if _is_signed_in(using, token):
        return RedirectResponse(_inside(to), 303)
    return show(request, "sign_in.html", to=_inside(to), refusal=None)


@router.post("/sign-in")
def sign_in(request: Request, form: FormOf, using: Using) -> Response:
    """Open a session for the key, and go where the browser wanted to."""
    require_own_origin(request)
    to = _inside(form.get("to"))
    try:
        key = using.keys.authenticate(form.get("key").strip())
    except KeyRejectedError as error:
        limit_failures(using, request, error)
        request.state.problem = error.code
        return show(request, "sign_in.html", status=401, to=to, refusal=error)
    response = RedirectResponse(to, 303)
    begin_session(request, response, using, key)
    return response


@router.post("/sign-out")
def sign_out(_session: Leaving) -> Response:
    """Let the browser forget the session."""
    response = RedirectResponse("/sign-in", 303)
    end_session(response)
    return response


def _is_signed_in(using: Services, token: str | None) -> bool:
    try:
        return token is not None and bool(find_session(using, token))
    except NoSessionError:
        return False


def _inside(address: str) -> str:
    """Let nobody be led elsewhere: only a path of ours is gone to."""
    is_path = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_path else "/"
