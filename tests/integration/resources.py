"""What the tests that walk every operation must know of a new one: its parameters, and whether it is open."""

UNKNOWN = "0" * 26

NEVER = {
    "job_id": (f"job_{UNKNOWN}", "job.not_found"),
    "key_id": (f"key_{UNKNOWN}", "key.not_found"),
    "upload_id": (f"upload_{UNKNOWN}", "upload.not_found"),
    "endpoint_id": (f"whe_{UNKNOWN}", "webhook.not_found"),
    "message_id": (f"msg_{UNKNOWN}", "webhook.delivery_not_found"),
    "name": ("archive.zip", "artifact.not_found"),
}
"""For each parameter of a path a value that names nothing, and the code that says so."""

VALUES = {"number": "1"}
"""Parameters of a path that name nothing, each with a value."""

OPEN = {"/healthz", "/readyz"}
"""Paths that need no key."""
