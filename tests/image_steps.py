"""The steps of the Dockerfile, run without an engine: `/` becomes a folder, the base image a fresh virtual environment.

Run are the steps of the stage that a target copies its environment from. What the stage of the image itself runs, to
make its user, is left to an engine.
"""

import io
import json
import os
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

REPOSITORY = Path(__file__).parents[1]
KEPT_BY_BUILD = ("DDOQ_", "PYTHON", "VIRTUAL_ENV")  # of our own environment nothing of this reaches a step


@dataclass(frozen=True)
class Step:
    """An instruction of the Dockerfile with what follows it."""

    instruction: str
    value: str

    def words(self) -> list[str]:
        return shlex.split(self.value)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Read `NAME=value ...`."""
        for word in self.words():
            name, _, value = word.partition("=")
            yield name, value

    def command(self) -> list[str]:
        """Read a command in its JSON form, behind whatever options stand before it."""
        found: list[str] = json.loads(self.value[self.value.index("[") :])
        return found


@dataclass(frozen=True)
class Stage:
    """A part of the Dockerfile; `base` is the name of another, or of an image."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


def read_stages() -> Mapping[str, Stage]:
    """Read the Dockerfile, without its comments."""
    stages: dict[str, Stage] = {}
    for found in DockerfileParser(fileobj=io.BytesIO((REPOSITORY / "Dockerfile").read_bytes())).structure:
        step = Step(found["instruction"], found["value"])
        if step.instruction == "FROM":
            base, _, name = step.words()
            stages[name] = Stage(name, base)
        elif stages and step.instruction != "COMMENT":
            list(stages.values())[-1].steps.append(step)
    return stages


def steps_of(target: str) -> Sequence[Step]:
    """List the steps of a stage behind those of the stages that it begins with."""
    stages = read_stages()
    stage = stages[target]
    return [*(steps_of(stage.base) if stage.base in stages else ()), *stage.steps]


def last(target: str, instruction: str) -> Step:
    """Find what holds in the end of instructions that replace one another, such as CMD and USER."""
    return [step for step in steps_of(target) if step.instruction == instruction][-1]


def environment_of(target: str, root: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """Tell the environment that a stage ends with; its absolute paths lie below `root`."""
    variables = dict(outside)
    for step in steps_of(target):
        if step.instruction in ("ARG", "ENV"):
            for name, value in step.pairs():
                if step.instruction == "ENV" or name not in outside:
                    variables[name] = _below(root, string.Template(value).safe_substitute(variables))
    return variables


def build(target: str, root: Path, **arguments: str) -> None:
    """Fill `root/venv` as the image of a target would have it at `/venv`."""
    (source,) = [step for step in steps_of(target) if step.instruction == "COPY"]
    built = source.words()[0].removeprefix("--from=")
    variables = environment_of(built, root, {**_outside(root), **arguments})
    folder = root
    for step in steps_of(built):
        if step.instruction == "WORKDIR":
            folder = Path(_below(root, step.value))
            folder.mkdir(parents=True)
        elif step.instruction == "COPY":
            *names, _ = step.words()
            _copy(names, folder)
        elif step.instruction == "RUN":
            subprocess.run(["sh", "-c", step.value], cwd=folder, env=variables, check=True)


def context() -> Sequence[str]:
    """List what .dockerignore lets through to a build."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def _copy(names: Sequence[str], folder: Path) -> None:
    for name in context() if "." in names else names:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder / name)


def _outside(root: Path) -> dict[str, str]:
    """Make what stands for the base image, a Python with its pip, and tell its environment."""
    subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_BY_BUILD)}
    return {**ours, "PATH": f"{root / 'base' / 'bin'}:{ours['PATH']}"}


def _below(root: Path, value: str) -> str:
    return f"{root}{value}" if value.startswith("/") and not value.startswith(str(root)) else value
