"""Backup and restore as docs/operations.md tells: the database first, then the bucket; back in the other order."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient

from api.app import create_app
from cli.servers import find_postgres
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.records import Artifact
from jobs.settings import Settings
from tests.conftest import Stack

DUMP = ("pg_dump", "--format=custom")
RESTORE = ("pg_restore", "--clean", "--if-exists", "--no-owner")


def run(*command: str | Path) -> None:
    tool, *arguments = command
    subprocess.run([find_postgres() / "bin" / tool, *arguments], check=True, cwd="/", capture_output=True)


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_a_service_that_was_restored_hands_out_the_same_bytes(
    settings: Settings,
    stack: Stack,
    client: TestClient,
    ann: dict[str, str],
    job_id: str,
    make_artifact: Callable[[str, bytes], Artifact],
    server_folder: Path,
) -> None:
    make_artifact("archive.zip", b"distilled")
    before = client.get(f"/v1/jobs/{job_id}", headers=ann).json()
    run(*DUMP, f"--file={server_folder / 'ddoq.dump'}", f"--dbname={plain(settings.database_url)}")
    copied = settings.model_copy(
        update={
            "database_url": stack.create_database("template0").replace("postgresql://", "postgresql+psycopg://"),
            "s3_bucket": f"{settings.s3_bucket}-copy",
        }
    )
    _copy_bucket(settings, copied)
    run(*RESTORE, f"--dbname={plain(copied.database_url)}", server_folder / "ddoq.dump")
    app = create_app(copied)
    with TestClient(app) as restored:
        assert restored.get("/readyz").status_code == 200
        assert restored.get(f"/v1/jobs/{job_id}", headers=ann).json()["id"] == before["id"]
        assert restored.get(f"/v1/jobs/{job_id}/artifacts/archive.zip", headers=ann).content == b"distilled"


def _copy_bucket(source: Settings, target: Settings) -> None:
    client = make_s3_client(source)
    objects = ObjectStore(client, target.s3_bucket)
    objects.ensure_bucket()
    for key in list(ObjectStore(client, source.s3_bucket).list_keys("")):
        body = client.get_object(Bucket=source.s3_bucket, Key=key)["Body"].read()
        client.put_object(Bucket=target.s3_bucket, Key=key, Body=body)
    client.close()
