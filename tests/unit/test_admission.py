from pathlib import Path

import pytest

from ddoq.errors import (
    AddressRefusedError,
    BucketNotAllowedError,
    DatasetError,
    DatasetNotFoundError,
    DatasetUriError,
    HostNotAllowedError,
    HubNotAllowedError,
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
from jobs.settings import Settings


def allowing(**allowed: object) -> Settings:
    needed = {"database_url": "postgresql://", "broker_url": "", "s3_bucket": "own", "s3_access_key": ""}
    return Settings.model_validate({**needed, "s3_secret_key": "", "key_pepper": "pepper" * 3, **allowed})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "uri", ["", "flowers.zip", "/data/flowers.zip", "file:/data", "ftp://host/a.zip", "http://host/a.zip"]
)
def test_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(UnknownSchemeError, match=r"write (file:///absolute/path|https://)"):
        admit_dataset(uri, allowing(file_roots=(Path("/"),), dataset_hosts=("*",)))


@pytest.mark.parametrize("name", ["flowers.zip", "not-there/yet.zip", "", "with%20space.zip", "a/../flowers.zip"])
def test_a_path_below_a_root_is_admitted_whether_it_is_there_or_not(root: Path, name: str) -> None:
    admit_dataset(f"file://{root}/{name}", allowing(file_roots=(root,)))


@pytest.mark.parametrize("name", ["../outside.zip", "%2e%2e/outside.zip", "../root2/a.zip", "a/../../b"])
def test_a_path_that_leads_outside_the_roots_is_refused(root: Path, name: str) -> None:
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/{name}", allowing(file_roots=(root,)))


def test_a_link_that_leads_outside_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/link/a.zip", allowing(file_roots=(root,)))


def test_a_link_in_a_circle_is_not_an_accident(root: Path) -> None:
    (root / "circle").symlink_to(root / "circle")
    admit_dataset(f"file://{root}/circle", allowing(file_roots=(root,)))


def test_without_roots_no_path_is_admitted(root: Path) -> None:
    with pytest.raises(OutsideRootsError):
        admit_dataset(f"file://{root}/a.zip", allowing())


@pytest.mark.parametrize("uri", ["file://host/a.zip", "file://relative", "file://", "file:///a%00b"])
def test_a_file_uri_without_an_absolute_path_names_nothing(uri: str) -> None:
    with pytest.raises(DatasetNotFoundError):
        admit_dataset(uri, allowing(file_roots=(Path("/"),)))


@pytest.mark.parametrize("uri", ["s3://mine/a.zip", "S3://mine/", "s3://mine"])
def test_a_listed_bucket_is_admitted(uri: str) -> None:
    admit_dataset(uri, allowing(dataset_buckets=("mine",)))


@pytest.mark.parametrize("uri", ["s3://theirs/a.zip", "s3:///a.zip", "s3://Mine/a.zip"])
def test_another_bucket_is_refused(uri: str) -> None:
    with pytest.raises(BucketNotAllowedError):
        admit_dataset(uri, allowing(dataset_buckets=("mine",)))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "uri",
    [
        "https://data.example/a.zip",
        "https://data.example/a-{000..012}.tar",
        f"hf://datasets/ann/pictures@{COMMIT}",
        "hf://datasets/ann/pictures@~parquet/default",
        "s3://own/sets/a.zip",
    ],
)
def test_an_allowed_address_is_admitted_without_a_look(uri: str) -> None:
    allowed = {"dataset_hosts": ("data.example",), "hub_datasets": ("ann/*",), "dataset_buckets": ("own",)}
    admit_dataset(uri, allowing(**allowed))


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("https://other.example/a.zip", HostNotAllowedError),
        ("https://data.example@other.example/a.zip", DatasetUriError),
        ("https://2130706433/a.zip", AddressRefusedError),
        ("https://[::ffff:10.0.0.1]/a.zip", AddressRefusedError),
        ("https://data.example/{0..1}/{0..1}.tar", DatasetUriError),
        (f"hf://datasets/bob/pictures@{COMMIT}", HubNotAllowedError),
        ("hf://datasets/ann/pictures", DatasetUriError),
        ("hf://datasets/ann/pictures@main", DatasetUriError),
        ("hf://datasets/pictures@main", DatasetUriError),
        ("s3://own/jobs/job_1/archive.zip", BucketNotAllowedError),
    ],
)
def test_what_may_not_be_read_is_refused_at_the_door(uri: str, error: type[DatasetError]) -> None:
    allowed = {"dataset_hosts": ("data.example",), "hub_datasets": ("ann/*",), "dataset_buckets": ("own",)}
    with pytest.raises(error):
        admit_dataset(uri, allowing(**allowed))


@pytest.mark.parametrize(
    "uri", ["https://data.example/a.zip", f"hf://datasets/ann/pictures@{COMMIT}", "s3://own/a.zip"]
)
def test_nothing_on_a_network_is_read_unless_it_is_allowed(uri: str) -> None:
    with pytest.raises((HostNotAllowedError, HubNotAllowedError, BucketNotAllowedError)):
        admit_dataset(uri, allowing())


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
