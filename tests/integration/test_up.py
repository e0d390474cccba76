import signal
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from cli.exits import CommandError
from cli.folder import Endpoint, endpoint_file
from ddoq.config import DatasetConfig, DistillConfig
from ddoq_client import Client
from jobs.settings import Settings
from tests.integration.launch import command, environment, launch, wait_for_end

CONFIG = DistillConfig(dataset=DatasetConfig(uri="s3://datasets/flowers.zip"))


def test_a_terminated_service_leaves_no_process(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        family = launched.family()
        launched.process.terminate()
        launched.process.wait(60)
    assert not wait_for_end(family, seconds=0)


def test_a_terminated_service_ends_without_an_error(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        launched.process.send_signal(signal.SIGINT)
        assert launched.process.wait(60) == 0


def test_a_killed_service_leaves_no_process_after_a_few_seconds(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        family = launched.family()
        launched.process.kill()
        assert not wait_for_end(family, seconds=15)


def test_a_second_service_on_the_same_folder_refuses(server_folder: Path) -> None:
    with launch(server_folder):
        second = subprocess.run(command(server_folder), capture_output=True, text=True, env=environment(), check=False)
    assert (second.returncode, "another 'ddoq up' is using" in second.stderr) == (1, True)


def test_jobs_and_the_api_key_survive_a_kill_and_a_restart(server_folder: Path) -> None:
    with launch(server_folder, DDOQ_DATASET_BUCKETS="datasets") as launched:
        key = (server_folder / "api-key").read_text()
        with launched.client() as client:
            job = client.submit(CONFIG)
        family = launched.family()
        launched.process.kill()
        wait_for_end(family, seconds=15)
    with launch(server_folder) as launched:
        url = Endpoint.model_validate_json(endpoint_file(server_folder).read_text()).url
        with Client(url, key) as client:
            assert client.job(job.id).id == job.id


def test_a_worker_that_is_killed_is_started_again(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        worker = launched.worker()
        worker.kill()
        assert launched.process.stdout
        assert next(launched.process.stdout).startswith("worker-1 ended with code -9")


def test_a_server_that_dies_ends_the_service_with_a_sentence(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        family = launched.family()
        next(found for found in family if found.name() == "valkey-server").kill()
        assert launched.process.wait(60) == 1
    assert not wait_for_end(family, seconds=0)


def test_a_server_whose_address_is_given_is_not_started(server_folder: Path, empty_settings: Settings) -> None:
    given = {
        "DDOQ_DATABASE_URL": empty_settings.database_url,
        "DDOQ_BROKER_URL": empty_settings.broker_url,
        "DDOQ_S3_ENDPOINT": str(empty_settings.s3_endpoint),
        "DDOQ_S3_BUCKET": empty_settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": empty_settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": empty_settings.s3_secret_key.get_secret_value(),
    }
    with launch(server_folder, **given) as launched:
        names = {found.name() for found in launched.family()}
    assert not names & {"postgres", "valkey-server", "rclone"}


def test_secrets_can_be_read_by_nobody_else(server_folder: Path) -> None:
    with launch(server_folder):
        private = [server_folder / name for name in ("api-key", "secrets.json", "endpoint.json", "valkey/valkey.conf")]
        assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}


def test_clients_do_not_look_for_a_service_that_has_ended(server_folder: Path) -> None:
    with launch(server_folder) as launched:
        pass
    with pytest.raises(CommandError, match="no service runs on"):
        launched.client()


def test_a_taken_port_is_refused_before_anything_is_started(server_folder: Path) -> None:
    with launch(server_folder / "first"):
        port = httpx.URL(Endpoint.model_validate_json(endpoint_file(server_folder / "first").read_text()).url).port
        second = command(server_folder / "second", "--port", str(port))
        refused = subprocess.run(second, capture_output=True, text=True, env=environment(), check=False)
    assert (f"port {port} is taken" in refused.stderr, (server_folder / "second").exists()) == (True, False)
