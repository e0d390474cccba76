"""The Dockerfile, by a linter and by what each image ends with."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.image_steps import REPOSITORY, context, environment_of, last, read_stages, steps_of

IMAGES = ("api", "worker", "worker-cuda")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
SETTINGS = {f"DDOQ_{name.upper()}" for name in Settings.model_fields}

every_image = pytest.mark.parametrize("target", IMAGES)


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, REPOSITORY / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_to_a_minor_version_of_python_that_the_project_is_made_for() -> None:
    images = {stage.base for stage in read_stages().values()} - set(read_stages())
    assert images == {"${BASE}"}
    (base,) = re.findall(
        r"^ARG BASE=python:(\d\.\d+)-slim-bookworm$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE
    )
    assert PROJECT["project"]["requires-python"] == f">={base}"


@every_image
def test_an_image_runs_as_nobody_in_particular(target: str) -> None:
    assert last(target, "USER").value == "10001:10001"
    assert [step.value for step in steps_of(target) if step.instruction == "VOLUME"] == ["/scratch"]


@every_image
def test_an_image_says_whether_it_is_well_and_how_it_is_stopped(target: str) -> None:
    assert last(target, "STOPSIGNAL").value == "SIGTERM"
    module = last(target, "HEALTHCHECK").command()[:3]
    assert module[:2] in (["python", "-c"], ["python", "-m"])
    assert target == "api" or find_spec(module[2])


@every_image
def test_an_image_writes_to_nothing_but_tmp_and_scratch(target: str) -> None:
    variables = environment_of(target, Path("/root-of-image"), {"PATH": "/usr/bin"})
    written = {
        name: variables[name] for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR") if name in variables
    }
    assert {path.removeprefix("/root-of-image").split("/")[1] for path in written.values()} <= {"tmp", "scratch"}
    assert target == "api" or {"XDG_CACHE_HOME", "NUMBA_CACHE_DIR"} <= set(written)


@every_image
def test_an_image_takes_its_environment_and_no_tool_from_the_stage_that_built_it(target: str) -> None:
    (copied,) = [step.value for step in steps_of(target) if step.instruction == "COPY"]
    assert copied == f"--from=build-{target} /venv /venv"
    assert "pip" not in "".join(step.value for step in steps_of(target) if step.instruction == "RUN")


@every_image
def test_what_is_installed_is_locked(target: str) -> None:
    installs = [step.value for step in steps_of(f"build-{target}") if "pip" in step.words()]
    assert len(installs) == 2
    assert all({"--constraint", "--no-deps"} & set(one.split()) for one in installs)


@every_image
def test_the_labels_say_what_it_is(target: str) -> None:
    labels = dict(last(target, "LABEL").pairs())
    assert labels["org.opencontainers.image.version"] == PROJECT["project"]["version"]
    assert labels["org.opencontainers.image.licenses"] == PROJECT["project"]["license"]


def test_every_variable_of_the_service_is_a_setting() -> None:
    assert set(re.findall(r"DDOQ_[A-Z0-9_]+", (REPOSITORY / "Dockerfile").read_text())) <= SETTINGS


def test_a_build_sees_the_packages_and_what_describes_them_alone() -> None:
    packages = {name.rstrip(".*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert set(context()) == packages | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert (REPOSITORY / ".dockerignore").read_text().startswith("*\n")
