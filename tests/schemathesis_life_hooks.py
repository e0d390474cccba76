"""What schemathesis is told of bodies that no schema says: which dataset is let in."""

from typing import Any

import schemathesis


@schemathesis.hook.apply_to(method="POST", path="/v1/jobs")
def map_body(_: object, body: Any) -> Any:
    """Ask for a job that is let in, in place of one that may or may not be."""
    return {"dataset": {"uri": "s3://datasets/flowers.zip"}} if isinstance(body, dict) else body
