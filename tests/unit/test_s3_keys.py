"""With which keys the object store is reached, and where a bucket is made."""

from collections.abc import Mapping
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from pydantic import SecretStr

from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import StorageRefusedError
from jobs.s3_keys import found_keys
from jobs.settings import Settings

ROLE = {"AWS_ACCESS_KEY_ID": "role-id", "AWS_SECRET_ACCESS_KEY": "role-secret", "AWS_SESSION_TOKEN": "role-token"}


def settings(**given: object) -> Settings:
    servers = {"database_url": "postgresql://host/ddoq", "broker_url": "redis://host", "s3_bucket": "bucket"}
    return Settings.model_validate({**servers, "key_pepper": "pepper" * 3, **given})


OWN = settings(s3_access_key="own-id", s3_secret_key="own-secret")
TEMPORARY = OWN.model_copy(update={"s3_session_token": SecretStr("own-token")})


@pytest.fixture(autouse=True)
def without_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let there be nothing that boto3 could find, nor what it found for an earlier test."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in (*ROLE, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))


def give(monkeypatch: pytest.MonkeyPatch, role: Mapping[str, str]) -> None:
    for name, value in role.items():
        monkeypatch.setenv(name, value)


def signed_url(of: Settings) -> str:
    return ObjectStore(make_s3_client(of), "bucket").presigned_url("key", "file", "text/plain", 60)


def test_the_keys_of_the_settings_win_over_those_that_boto3_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, ROLE)
    assert "own-id" in signed_url(OWN)
    assert found_keys(OWN).access_key == "own-id"
    assert "role" not in signed_url(OWN)


def test_the_token_of_a_temporary_key_goes_with_it() -> None:
    assert "X-Amz-Security-Token=own-token" in signed_url(TEMPORARY)
    assert found_keys(TEMPORARY).session_token == "own-token"


def test_without_keys_boto3_finds_those_of_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, ROLE)
    assert "role-id" in signed_url(settings())
    found = found_keys(settings())
    assert (found.access_key, found.secret_key, found.session_token) == tuple(ROLE.values())


def test_that_there_are_no_keys_at_all_is_said_with_what_to_do() -> None:
    with pytest.raises(StorageRefusedError, match="DDOQ_S3_ACCESS_KEY"):
        ObjectStore(make_s3_client(settings()), "bucket").read("key")
    with pytest.raises(StorageRefusedError, match="DDOQ_S3_ACCESS_KEY"):
        found_keys(settings())


@pytest.mark.parametrize(
    ("region", "endpoint", "said"),
    [
        ("eu-central-1", None, {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
        ("cn-north-1", None, {"CreateBucketConfiguration": {"LocationConstraint": "cn-north-1"}}),
        ("us-east-1", None, {}),
        ("auto", "https://storage.googleapis.com", {}),
        ("eu-central-1", "https://amazonaws.com.example.com", {}),
    ],
)
def test_a_bucket_is_made_in_its_region_where_aws_needs_to_be_told(
    region: str, endpoint: str | None, said: Mapping[str, object]
) -> None:
    client = make_s3_client(OWN.model_copy(update={"s3_region": region, "s3_endpoint": endpoint}))
    with Stubber(client) as stub:
        stub.add_client_error("head_bucket", "404", http_status_code=404)
        stub.add_response("create_bucket", {}, {"Bucket": "bucket", **said})
        ObjectStore(client, "bucket").ensure_bucket()
        stub.assert_no_pending_responses()
