"""`python -m api`: one process of the API, with its logs, its metrics and its traces."""

import argparse

import uvicorn

from api.app import create_app
from jobs.logs import start_logs
from jobs.metrics import serve_metrics
from jobs.settings import load_settings
from jobs.tracing import close_tracing, open_tracing

GRACE_SECONDS = 5  # for answers that are under way when the process is to end


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m api", description="Serve the API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at (default: %(default)s)")
    at = parser.parse_args()
    settings = load_settings()
    start_logs(settings, "api")
    open_tracing("ddoq-api")
    app = create_app(settings)
    serve_metrics(settings, app.state.metrics.registry)
    try:
        # Our own line for each request has what theirs has not, and not what theirs should not have: the query.
        uvicorn.run(
            app,
            host=at.host,
            port=at.port,
            http="h11",  # bounds what lies before the body: see api.body_limits
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    finally:
        close_tracing()


if __name__ == "__main__":
    main()
