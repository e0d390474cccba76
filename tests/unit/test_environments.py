"""What computed a folder is told by versions and a device."""

from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from platform import python_version

import torch

from api.pages.job_environments import in_rows
from ddoq.device import choose_device
from ddoq.environments import (
    Environment,
    environments_of,
    note_environments,
    read_provenance,
    unite,
    write_provenance,
)
from ddoq.events import Stage
from ddoq.here import PACKAGES, environment_here

OLD = Environment({"Python": "3.11.2", "torch": "2.12.0"}, "cpu")
NEW = Environment({"Python": "3.11.2", "torch": "2.13.0"}, "cpu")
FAST = Environment({"Python": "3.11.2", "torch": "2.13.0", "CUDA": "13.0"}, "cuda", "NVIDIA H100 80GB HBM3")


def test_the_versions_are_those_installed() -> None:
    versions = environment_here().versions
    assert versions["Python"] == python_version()
    assert {name: versions[name] for name in PACKAGES} == {name: version(name) for name in PACKAGES}
    assert torch.__version__.startswith(versions["torch"])


def test_an_environment_tells_the_device_and_the_versions_of_what_drives_it() -> None:
    here, has_cuda = environment_here(), torch.cuda.is_available()
    assert here.device == choose_device().type
    assert here.device_name == (torch.cuda.get_device_name() if has_cuda else None)
    assert here.versions.get("CUDA") == (torch.version.cuda if has_cuda else None)


def test_a_note_is_the_same_whoever_came_first(tmp_path: Path) -> None:
    for some in permutations([OLD, NEW, FAST, NEW]):
        note_environments(tmp_path / "block", some)
        assert environments_of(tmp_path / "block") == (OLD, FAST, NEW)


def test_of_what_nobody_noted_nothing_is_known(tmp_path: Path) -> None:
    assert environments_of(tmp_path) == ()
    assert read_provenance(tmp_path) == {}


def test_a_provenance_has_every_stage_in_its_order_with_what_all_know_of_it(tmp_path: Path) -> None:
    ones = {Stage.QUANTIZE: (NEW,), Stage.READ: (NEW,), Stage.FIT: ()}
    write_provenance(tmp_path, unite([ones, {Stage.QUANTIZE: (OLD, NEW)}]))
    found = read_provenance(tmp_path)
    assert list(found.items()) == [(Stage.READ, (NEW,)), (Stage.QUANTIZE, (OLD, NEW))]


def test_one_environment_is_one_row_of_the_page() -> None:
    assert in_rows({Stage.READ: (NEW,), Stage.PACKAGE: (NEW,)}) == {"computed by": "Python 3.11.2, torch 2.13.0 on cpu"}


def test_of_several_environments_each_has_a_row_with_its_stages() -> None:
    assert in_rows({Stage.READ: (OLD,), Stage.ENCODE: (FAST, OLD)}) == {
        "read, encode computed by": "Python 3.11.2, torch 2.12.0 on cpu",
        "encode computed by": "Python 3.11.2, torch 2.13.0, CUDA 13.0 on NVIDIA H100 80GB HBM3",
    }
    assert in_rows({}) == {}
