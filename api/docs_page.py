"""The description of the API as a page: Swagger UI, all of it from here, under a policy that lets nothing else in."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from swagger_ui_bundle import swagger_ui_path

from api.errors import PathNotFoundError

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@router.get("/docs")
def show_page() -> HTMLResponse:
    """Serve the page."""
    return HTMLResponse(_own("docs.html"), headers=HEADERS)


@router.get("/docs/start.js")
def start() -> Response:
    """Serve what starts Swagger UI: a file, since the policy runs no script inside the page."""
    return Response(_own("docs.js"), media_type="text/javascript", headers=HEADERS)


@router.get("/docs/{name}")
def send_asset(name: str) -> FileResponse:
    """Serve a file of Swagger UI that the page needs; its own page would load from elsewhere."""
    if name not in ASSETS:
        raise PathNotFoundError(f"nothing is at /docs/{name}; /docs is the page")
    return FileResponse(swagger_ui_path / name, headers=HEADERS)


def _own(name: str) -> str:
    return (files("api") / name).read_text("utf-8")
