import os
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from botocore.exceptions import ClientError
from pydantic import SecretStr

from cli.servers import StartError, start_postgres, start_s3, start_valkey
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.settings import Settings

AS_A_PLAIN_USER = """
import sys
from pathlib import Path
from cli.servers import start_postgres, start_s3, start_valkey
from cli.watchdog import Watchdog
folder = Path(sys.argv[1])
with Watchdog() as watchdog:
    guard = watchdog.guard
    s3 = start_s3(folder / "s3", "access", "secret", guard)
    for server in (start_postgres(folder / "pg", guard), start_valkey(folder / "valkey", "password", guard), s3):
        server.stop()
"""


def test_postgres_serves_on_a_path_longer_than_a_socket_may_have(server_folder: Path) -> None:
    postgres = start_postgres(server_folder / ("long " * 25) / "postgres")
    try:
        with psycopg.connect(postgres.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        postgres.stop()


def test_postgres_keeps_its_rows_over_a_restart(server_folder: Path) -> None:
    first = start_postgres(server_folder)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    first.stop()
    second = start_postgres(server_folder)
    try:
        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    finally:
        second.stop()


def test_postgres_stops_while_a_client_is_connected(server_folder: Path) -> None:
    postgres = start_postgres(server_folder)
    with psycopg.connect(postgres.url):
        postgres.stop()
    assert postgres.process.returncode == 0


def test_valkey_refuses_a_client_without_the_password(server_folder: Path) -> None:
    valkey = start_valkey(server_folder, "secret")
    try:
        with (
            redis.Redis.from_url(valkey.url.replace(":secret@", "")) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
    finally:
        valkey.stop()


def test_s3_refuses_a_client_with_another_secret(settings: Settings) -> None:
    client = make_s3_client(settings.model_copy(update={"s3_secret_key": SecretStr("guessed")}))
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.list_buckets()
    client.close()


def test_s3_shows_no_secret_in_the_list_of_processes(server_folder: Path) -> None:
    s3 = start_s3(server_folder, "access", "hidden-secret")
    shown = " ".join(psutil.Process(s3.process.pid).cmdline())
    s3.stop()
    assert "hidden-secret" not in shown


def test_s3_keeps_its_objects_over_a_restart(settings: Settings, server_folder: Path) -> None:
    (server_folder / "file").write_bytes(b"content")
    for round_number in range(2):
        s3 = start_s3(server_folder / "s3", settings.s3_access_key, settings.s3_secret_key.get_secret_value())
        client = make_s3_client(settings.model_copy(update={"s3_endpoint": s3.url}))
        objects = ObjectStore(client, "bucket")
        if round_number == 0:
            objects.ensure_bucket()
            objects.put_file(server_folder / "file", "key", "text/plain")
        content = b"".join(objects.open_range("key", 0, 6))
        client.close()
        s3.stop()
    assert content == b"content"


def test_a_server_that_cannot_start_says_why(server_folder: Path) -> None:
    (server_folder / "cluster").mkdir()
    with pytest.raises(StartError, match="PostgreSQL ended with code 2"):
        start_postgres(server_folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_servers_start_for_a_user_who_is_not_root(server_folder: Path) -> None:
    if not all(folder.stat().st_mode & 0o001 for folder in Path(sys.executable).resolve().parents):
        pytest.skip(f"other users may not run {sys.executable}")
    server_folder.chmod(0o755)
    home = server_folder / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", AS_A_PLAIN_USER, str(home)],
        check=False,
        user=65534,
        group=65534,
        extra_groups=[],
        env=variables,
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_leaves_no_process_behind_when_it_is_stopped(server_folder: Path) -> None:
    postgres = start_postgres(server_folder)
    family = [postgres.process.pid, *(child.pid for child in psutil.Process(postgres.process.pid).children())]
    postgres.stop()
    assert not [pid for pid in family if psutil.pid_exists(pid)]
