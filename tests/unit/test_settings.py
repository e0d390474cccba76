"""Settings from the environment."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from ddoq.events import Stage
from jobs.settings import STALL_SECONDS, load_settings

NEEDED = {
    "DDOQ_DATABASE_URL": "postgresql://user:hidden-1@host/ddoq",
    "DDOQ_BROKER_URL": "redis://:hidden-2@host/0",
    "DDOQ_S3_BUCKET": "bucket",
    "DDOQ_S3_ACCESS_KEY": "hidden-3",
    "DDOQ_S3_SECRET_KEY": "hidden-4",
    "DDOQ_KEY_PEPPER": "hidden-5-and-so-on",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DDOQ_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_needed_variables_are_enough() -> None:
    assert load_settings().s3_bucket == "bucket"


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ValidationError, match=name.removeprefix("DDOQ_").lower()):
        load_settings()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_driver_need_not_be_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DDOQ_DATABASE_URL", f"{scheme}://host/ddoq")
    assert load_settings().database_url == "postgresql+psycopg://host/ddoq"


def test_another_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_DATABASE_URL", "sqlite:///file")
    with pytest.raises(ValidationError, match="postgresql://"):
        load_settings()


@pytest.mark.parametrize("text", ["{0}:{1}", '["{0}", "{1}"]'])
def test_folders_are_separated_like_path_or_are_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("DDOQ_FILE_ROOTS", text.format(*folders))
    assert load_settings().file_roots == folders


def test_a_root_is_the_folder_that_a_link_leads_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    monkeypatch.setenv("DDOQ_FILE_ROOTS", str(tmp_path / "link"))
    assert load_settings().file_roots == (tmp_path / "folder",)


def test_an_empty_list_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_FILE_ROOTS", "")
    assert load_settings().file_roots == ()


def test_networks_are_separated_by_commas_since_they_may_have_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_PRIVATE_NETWORKS", "10.20.0.0/16, fd12::/48")
    assert load_settings().private_networks == ("10.20.0.0/16", "fd12::/48")


@pytest.mark.parametrize("text", ["10.20.0.1/16", "intern", "10.20.0.0/33"])
def test_what_is_no_network_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DDOQ_PRIVATE_NETWORKS", text)
    with pytest.raises(ValidationError, match="private_networks"):
        load_settings()


@pytest.mark.parametrize("text", ["huggingface.co", "https://ann:pw@mirror", "https://mirror/?a=1", "ftp://mirror"])
def test_a_hub_is_an_address_without_credentials(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DDOQ_HUB_ENDPOINT", text)
    with pytest.raises(ValidationError, match="hub_endpoint"):
        load_settings()


def test_the_limit_of_one_stage_is_set_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDOQ_STALL_SECONDS", '{"encode": 90}')
    assert load_settings().stall_seconds == {**STALL_SECONDS, Stage.ENCODE: 90}


def test_every_stage_may_be_silent_for_some_time() -> None:
    assert set(load_settings().stall_seconds) == set(Stage)


@pytest.mark.parametrize("text", ['{"bake": 90}', '{"encode": 0}', "90"])
def test_a_limit_of_no_stage_or_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DDOQ_STALL_SECONDS", text)
    with pytest.raises(ValidationError, match="stall_seconds"):
        load_settings()


def test_no_secret_is_printed() -> None:
    assert "hidden" not in repr(load_settings())


def test_keys_of_the_object_store_may_be_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DDOQ_S3_ACCESS_KEY", "DDOQ_S3_SECRET_KEY"):
        monkeypatch.delenv(name)
    assert load_settings().s3_access_key == ""
    monkeypatch.setenv("DDOQ_S3_SESSION_TOKEN", "hidden-6")
    with pytest.raises(ValidationError, match="s3_session_token"):
        load_settings()


def test_no_secret_is_in_the_refusal_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDOQ_S3_ACCESS_KEY")
    with pytest.raises(ValidationError) as caught:
        load_settings()
    assert "hidden" not in str(caught.value)
