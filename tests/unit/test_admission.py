from pathlib import Path

import pytest

from ddoq.errors import (
    BucketNotAllowedError,
    DatasetNotFoundError,
    OutsideRootsError,
    PriorNotAllowedError,
    PriorNotFoundError,
    TeacherNotAllowedError,
    TeacherNotFoundError,
    UnknownSchemeError,
)
from ddoq.prior_config import VaePrior
from ddoq.teacher_config import CheckpointTeacher, PretrainedTeacher, TrainedTeacher
from jobs.admission import admit_dataset, admit_model, admit_teacher


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "uri", ["", "flowers.zip", "/data/flowers.zip", "file:/data", "https://host/a.zip", "hf://a/b"]
)
def test_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(UnknownSchemeError, match="write file:///absolute/path, s3://bucket/key or upload://id"):
        admit_dataset(uri, [Path("/")], ["*"])


@pytest.mark.parametrize("name", ["flowers.zip", "not-there/yet.zip", "", "with%20space.zip", "a/../flowers.zip"])
def test_a_path_below_a_root_is_admitted_whether_it_is_there_or_not(root: Path, name: str) -> None:
    admit_dataset(f"file://{root}/{name}", [root], [])


@pytest.mark.parametrize("name", ["../outside.zip", "%2e%2e/outside.zip", "../root2/a.zip", "a/../../b"])
def test_a_path_that_leads_outside_the_roots_is_refused(root: Path, name: str) -> None:
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/{name}", [root], [])


def test_a_link_that_leads_outside_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/link/a.zip", [root], [])


def test_a_link_in_a_circle_is_not_an_accident(root: Path) -> None:
    (root / "circle").symlink_to(root / "circle")
    admit_dataset(f"file://{root}/circle", [root], [])


def test_without_roots_no_path_is_admitted(root: Path) -> None:
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/a.zip", [], [])


@pytest.mark.parametrize("uri", ["file://host/a.zip", "file://relative", "file://", "file:///a%00b"])
def test_a_file_uri_without_an_absolute_path_names_nothing(uri: str) -> None:
    with pytest.raises(DatasetNotFoundError):
        admit_dataset(uri, [Path("/")], [])


@pytest.mark.parametrize("uri", ["s3://mine/a.zip", "S3://mine/", "s3://mine"])
def test_a_listed_bucket_is_admitted(uri: str) -> None:
    admit_dataset(uri, [], ["mine"])


@pytest.mark.parametrize("uri", ["s3://theirs/a.zip", "s3:///a.zip", "s3://Mine/a.zip"])
def test_another_bucket_is_refused(uri: str) -> None:
    with pytest.raises(BucketNotAllowedError):
        admit_dataset(uri, [], ["mine"])


def test_a_listed_hub_id_is_admitted_with_its_revision() -> None:
    admit_model(VaePrior(model="org/vae", revision="abc"), ["org/vae"])


def test_a_hub_id_without_a_revision_is_refused() -> None:
    with pytest.raises(PriorNotFoundError, match=r"prior\.revision"):
        admit_model(VaePrior(model="org/vae"), ["org/vae"])


def test_a_folder_below_a_listed_folder_is_admitted(root: Path) -> None:
    admit_model(VaePrior(model=f"{root}/taesd"), [str(root)])


@pytest.mark.parametrize("model", ["org/other", "org/vae/../other", "./org/vae", "/etc", "{root}/../etc", "~/vae"])
def test_a_model_that_is_not_listed_is_refused(root: Path, model: str) -> None:
    with pytest.raises(PriorNotAllowedError):
        admit_model(VaePrior(model=model.format(root=root), revision="abc"), ["org/vae", str(root)])


def test_a_relative_entry_of_the_list_stands_for_no_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(PriorNotAllowedError):
        admit_model(VaePrior(model=f"{root}/org/vae/secret"), ["org/vae"])


def teacher(checkpoint: str) -> CheckpointTeacher:
    numbers = {"mean": (0, 0, 0), "deviation": (1, 1, 1), "resolution": 32}
    return CheckpointTeacher(network="resnet-18", checkpoint=checkpoint, **numbers)


def test_a_teacher_below_a_listed_folder_is_admitted(root: Path) -> None:
    admit_teacher(teacher(f"{root}/resnet.safetensors"), ["org/vae", str(root)])
    admit_teacher(teacher("/anywhere/resnet.safetensors"), ["*"])


@pytest.mark.parametrize("place", ["/etc/resnet.safetensors", "{root}/../etc", "/org/vae"])
def test_a_teacher_elsewhere_is_refused(root: Path, place: str) -> None:
    with pytest.raises(TeacherNotAllowedError, match="teacher"):
        admit_teacher(teacher(place.format(root=root)), ["org/vae", str(root)])


def test_a_pretrained_teacher_is_admitted_as_the_model_of_a_prior_is(root: Path) -> None:
    admit_teacher(PretrainedTeacher(model="org/vit", revision="abc"), ["org/vit"])
    admit_teacher(PretrainedTeacher(model=f"{root}/vit"), [str(root)])
    with pytest.raises(TeacherNotAllowedError, match="'org/other'"):
        admit_teacher(PretrainedTeacher(model="org/other", revision="abc"), ["org/vit"])
    with pytest.raises(TeacherNotFoundError, match=r"set teacher\.revision"):
        admit_teacher(PretrainedTeacher(model="org/vit"), ["*"])


def test_a_teacher_that_is_trained_here_needs_no_leave() -> None:
    admit_teacher(TrainedTeacher(), [])
