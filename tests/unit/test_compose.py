"""deploy/compose.yaml against its schema, the settings, the Dockerfile, and the servers that the tests run on."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.servers import find_postgres, find_valkey
from jobs.settings import Settings
from tests.image_steps import last, read_stages

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
SETTINGS = {f"DDOQ_{name.upper()}" for name in Settings.model_fields}
REQUIRED = {f"DDOQ_{name.upper()}" for name, field in Settings.model_fields.items() if field.is_required()}
SERVERS = ("postgres", "valkey", "s3")
ONCE = ("migrate", "bucket-init")
LASTING = ("api", "deliveries", "worker", "worker-cuda")
OURS = (*ONCE, *LASTING)

FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = FILE["services"]
every_service = pytest.mark.parametrize("name", [*SERVERS, *OURS])
ours = pytest.mark.parametrize("name", OURS)


def test_the_file_is_what_compose_expects() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_compose_itself_reads_the_file_and_refuses_it_without_secrets(tmp_path: Path) -> None:
    if subprocess.run(["sh", "-c", "docker compose version"], check=False, capture_output=True).returncode:
        pytest.skip("needs docker with its compose plugin; the schema and the rules below are checked without")
    secrets = dict.fromkeys(secrets_of_example(), "0123456789abcdef")
    command = ["docker", "compose", "--file", COMPOSE, "--env-file", os.devnull, "--profile", "cpu", "config"]
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    assert subprocess.run(command, env={**environment, **secrets}, check=False, capture_output=True).returncode == 0
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode != 0


def test_there_is_no_other_service() -> None:
    assert sorted(SERVICES) == sorted([*SERVERS, *OURS])


def secrets_of_example() -> list[str]:
    return re.findall(r"^(\w+)=$", (DEPLOY / "env.example").read_text(), re.MULTILINE)


def test_every_secret_is_required_and_says_what_it_is() -> None:
    used = re.findall(r"\$\{(\w+)(:[?-])?([^}]*)\}", COMPOSE.read_text())
    secrets = {name for name, how, words in used if how == ":?" and len(words) > 10}
    assert {name for name, how, _ in used if how != ":-"} == secrets
    assert set(secrets_of_example()) == secrets
    assert len(secrets) == 4


def test_every_variable_is_a_setting() -> None:
    assert set(re.findall(r"DDOQ_[A-Z0-9_]+", COMPOSE.read_text())) <= SETTINGS


@ours
def test_every_setting_without_a_default_is_given(name: str) -> None:
    assert set(SERVICES[name]["environment"]) >= REQUIRED


@ours
def test_the_target_that_is_built_exists(name: str) -> None:
    assert SERVICES[name]["build"]["target"] in read_stages()
    assert SERVICES[name]["image"] == f"ddoq-{SERVICES[name]['build']['target']}"


@every_service
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(folder.startswith("/tmp:") for folder in service["tmpfs"])
    assert not {"cap_add", "privileged", "pid", "network_mode"} & set(service)


@every_service
def test_a_service_fills_neither_memory_nor_disk(name: str) -> None:
    assert SERVICES[name]["deploy"]["resources"]["limits"]["memory"]
    assert set(SERVICES[name]["logging"]["options"]) == {"max-size", "max-file"}


@every_service
def test_a_service_is_started_again_and_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("on-failure:5" if name in ONCE else "unless-stopped")
    if name in ONCE:
        assert service["healthcheck"] == {"disable": True}
    elif "build" in service and "healthcheck" not in service:
        assert last(service["build"]["target"], "HEALTHCHECK").command()
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_has_no_way_out_and_its_image_a_version(name: str) -> None:
    assert SERVICES[name]["networks"] == ["inside"]
    assert FILE["networks"]["inside"] == {"internal": True}
    assert "ports" not in SERVICES[name]
    assert re.fullmatch(r"[\w/]+:\d+\.\d+[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_waits_for_what_runs_once(name: str) -> None:
    waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
    assert waits["migrate"] == "service_completed_successfully"
    if name != "deliveries":  # it has no use for the bucket and the broker
        assert waits["bucket-init"] == "service_completed_successfully"
        assert waits["valkey"] == "service_healthy"
    assert SERVICES[name]["init"] is True


def test_what_runs_once_waits_for_its_server() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["bucket-init"]["depends_on"] == {"s3": {"condition": "service_healthy"}}


def test_a_profile_chooses_the_workers_and_nothing_else() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"worker": ["cpu"], "worker-cuda": ["gpu"]}
    (device,) = SERVICES["worker-cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_only_the_api_is_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:${API_PORT:-8000}:8000"]}


def version_of(*command: str | Path) -> str:
    said = subprocess.run([*command], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("postgres", (find_postgres() / "bin" / "postgres", "--version")),
        ("valkey", (find_valkey(), "--version")),
        ("s3", (Path(sys.executable).with_name("rclone"), "version")),
    ],
)
def test_the_servers_are_of_the_versions_that_the_tests_run_on(name: str, command: tuple[str | Path, ...]) -> None:
    tag = SERVICES[name]["image"].partition(":")[2].partition("-")[0]
    assert f"{version_of(*command)}.".startswith(f"{tag}.")
