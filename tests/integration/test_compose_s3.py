"""The S3 server of deploy/compose.yaml, by the command that is written there; the tests have the same version of it."""

import os
import re
import sys
from pathlib import Path

import yaml
from click.testing import CliRunner
from pydantic import SecretStr

from cli.main import main
from cli.servers import Running, free_port, is_free, spawn, wait_until_ready
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.settings import Settings

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
ACCOUNT = {"S3_ACCESS_KEY": "ddoq-account", "S3_SECRET_KEY": "a secret of its own"}
NAMED = ("broker_url", "s3_endpoint", "s3_bucket", "s3_access_key")


def test_it_starts_on_an_empty_volume_and_the_bucket_is_made(tmp_path: Path, empty_settings: Settings) -> None:
    service, port = yaml.safe_load(COMPOSE.read_text())["services"]["s3"], free_port()
    command = [
        word.replace(":9000", f"127.0.0.1:{port}").replace("/data", str(tmp_path)) for word in service["command"]
    ]
    rclone = Path(sys.executable).with_name("rclone")
    process = spawn([rclone, *command], tmp_path / "s3.log", env={**os.environ, **_environment(service, tmp_path)})
    running = Running("S3", f"http://127.0.0.1:{port}", process, tmp_path / "s3.log")
    try:
        wait_until_ready(running, lambda: not is_free(port))
        settings = empty_settings.model_copy(
            update={
                "s3_endpoint": running.url,
                "s3_access_key": ACCOUNT["S3_ACCESS_KEY"],
                "s3_secret_key": SecretStr(ACCOUNT["S3_SECRET_KEY"]),
            }
        )
        variables = {
            f"DDOQ_{name.upper()}": str(value) for name, value in settings.model_dump().items() if name in NAMED
        }
        result = CliRunner().invoke(main, ["bucket", "ensure"], env={**variables, **_secrets(settings)})
        assert (result.exit_code, result.output) == (0, f"the bucket {settings.s3_bucket} is there\n")
        assert ObjectStore(make_s3_client(settings), settings.s3_bucket).is_ready()
        assert (tmp_path / "buckets" / settings.s3_bucket).is_dir()
    finally:
        running.stop()


def _secrets(settings: Settings) -> dict[str, str]:
    return {
        "DDOQ_DATABASE_URL": settings.database_url.replace("+psycopg", ""),
        "DDOQ_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DDOQ_KEY_PEPPER": settings.key_pepper.get_secret_value(),
    }


def _environment(service: dict[str, dict[str, str]], folder: Path) -> dict[str, str]:
    """Fill in the account as compose would."""
    filled = {
        name: re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: ACCOUNT[found[1]], value)
        for name, value in service["environment"].items()
    }
    return {name: value.replace("/data", str(folder)) for name, value in filled.items()}
