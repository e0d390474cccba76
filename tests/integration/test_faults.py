"""The proxy that the kill tests trust: a real client of S3, a real server, every fault."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.conftest import Stack
from tests.faults import Cutting, Failing, FaultProxy, Passing, Refusing, Slow

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = bytes(range(256)) * 400


@pytest.fixture
def proxy(stack: Stack) -> Iterator[FaultProxy]:
    with FaultProxy(stack.s3_endpoint) as proxy:
        yield proxy


@dataclass(frozen=True)
class Bucket:
    """A bucket seen through the proxy by a client that asks once."""

    client: "S3Client"
    name: str

    def fetch(self) -> bytes:
        return self.client.get_object(Bucket=self.name, Key="there")["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def stored(self) -> set[str]:
        return {entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.name)["Contents"]}


@pytest.fixture
def bucket(stack: Stack, proxy: FaultProxy) -> Iterator[Bucket]:
    keys = {"aws_access_key_id": stack.s3_access_key, "aws_secret_access_key": stack.s3_secret_key}
    once = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, signature_version="s3v4")
    client = boto3.client("s3", endpoint_url=proxy.url, region_name="us-east-1", config=once, **keys)
    bucket = Bucket(client, f"faults-{uuid4().hex}")
    client.create_bucket(Bucket=bucket.name)
    bucket.put("there", BODY)
    yield bucket
    client.close()


@pytest.mark.parametrize("fault", [Passing(), Slow(0.05), Slow(bytes_per_second=500_000)])
def test_a_signed_request_gets_through_whole(bucket, proxy, fault):
    with proxy.spoiling(fault):
        bucket.put("there", BODY[::-1])
        assert bucket.fetch() == BODY[::-1]


@pytest.mark.parametrize("fault", [Refusing(), Failing(), Cutting(after_bytes=1000)])
def test_a_fault_reaches_the_client_and_ends_with_its_block(bucket, proxy, fault):
    with proxy.spoiling(fault), pytest.raises((BotoCoreError, ClientError, ConnectionError)):
        bucket.fetch()
    assert bucket.fetch() == BODY
    assert proxy.n_spoilt >= 1


def test_an_upload_that_is_cut_short_stores_nothing(bucket, proxy):
    with proxy.spoiling(Cutting(after_bytes=1000)), pytest.raises((BotoCoreError, ClientError)):
        bucket.put("torn", BODY)
    assert "torn" not in bucket.stored()


def test_only_every_third_request_fails(bucket, proxy):
    failed = 0
    with proxy.spoiling(Failing(every=3)):
        for _ in range(9):
            try:
                bucket.fetch()
            except ClientError:
                failed += 1
    assert failed == 3
