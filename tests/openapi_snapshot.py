"""The description of the API as files: `docs/openapi.json` is today's, `docs/openapi/v1.json` what callers rely on.

python -m tests.openapi_snapshot            write today's
python -m tests.openapi_snapshot --release  promise it: make it what later changes must not break
"""

import json
import sys
from pathlib import Path
from typing import Any

from api.app import create_app
from jobs.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
TODAY, PROMISED = DOCS / "openapi.json", DOCS / "openapi" / "v1.json"


def describe_api() -> dict[str, Any]:
    """Write the description of this code; it needs no server."""
    settings = Settings(
        database_url="postgresql://nowhere/nothing",
        broker_url="redis://nowhere",
        s3_bucket="nothing",
        s3_access_key="nobody",
        s3_secret_key="secret",
        key_pepper="a pepper of sixteen",
    )
    return create_app(settings).openapi()


def write(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TODAY.write_text(write(describe_api()), "utf-8")
    if "--release" in sys.argv:
        PROMISED.parent.mkdir(exist_ok=True)
        PROMISED.write_text(TODAY.read_text("utf-8"), "utf-8")
