import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def extras() -> dict[str, list[Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [Requirement(line) for line in lines] for name, lines in wanted.items()}


def packages_of(extra: str) -> set[str]:
    """Name what `pip install ddoq[extra]` asks for, by way of other extras too."""
    names = {requirement.name for requirement in extras()[""]}
    for requirement in extras()[extra]:
        if requirement.name == "ddoq":
            names |= set().union(*(packages_of(other) for other in requirement.extras))
        else:
            names.add(requirement.name)
    return names


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


@pytest.mark.parametrize("extra", ["jobs", "api"])
def test_torch_is_not_installed_where_no_unit_runs(extra: str) -> None:
    assert not packages_of(extra) & {"torch", "diffusers", "safetensors", "pillow"}


def test_the_lock_file_pins_everything_that_the_project_asks_for() -> None:
    assert {canonicalize_name(name) for name in packages_of("dev")} <= set(pins())


def test_the_lock_file_names_versions_that_any_index_has() -> None:
    assert not [str(pin) for pin in pins().values() if pin.url or not re.fullmatch(r"==[\w.]+", str(pin.specifier))]


def test_make_lists_its_targets() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\w+) ", shown, re.MULTILINE) == targets
