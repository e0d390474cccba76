"""What the tests that walk every operation must know of a new one: its parameters, and whether it is open."""

UNKNOWN = "0" * 26

NEVER = {
    "job_id": (f"job_{UNKNOWN}", "job.not_found"),
    "key_id": (f"key_{UNKNOWN}", "key.not_found"),
    "name": ("archive.zip", "artifact.not_found"),
}
"""For each parameter of a path a value that names nothing, and the code that says so."""

OPEN = {"/healthz", "/readyz"}
"""Paths that need no key."""
