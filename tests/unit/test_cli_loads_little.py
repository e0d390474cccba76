"""The command answers at once: what is heavy is loaded by the command that needs it."""

import subprocess
import sys

HEAVY = {
    "torch",
    "numpy",
    "sqlalchemy",
    "alembic",
    "boto3",
    "celery",
    "redis",
    "psycopg",
    "fastapi",
    "pydantic_settings",
}
CODE = f"import sys, cli.main; print(*sorted({HEAVY!r} & set(sys.modules)))"


def test_importing_the_command_loads_neither_torch_nor_what_the_service_needs() -> None:
    loaded = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
