"""What other people's programs send to the whole service and fetch from it, each of them as it is.

One service runs for all tests here. It keeps its files in an object store that its operators can reach as well.
"""

import hashlib
import io
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest
import torch
import webdataset
from botocore.config import Config
from PIL import Image

import ddoq
from cli.folder import Endpoint, endpoint_file
from ddoq.config import DistillConfig
from ddoq_client import Artifact, Client, Job
from tests.conftest import Stack
from tests.integration.launch import launch
from tests.pictures import png

NAMES = ["wolf", "bear"]
N_SAMPLES = 24
QUICK = {"images_per_class": 2, "prior": {"kind": "pixels", "resolution": 16}, "evaluation": "none"}

# webdataset leaves its files to be closed by the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass(frozen=True)
class Served:
    """A service that has made one job of an upload; `s3` is a client of `bucket` that is none of ours."""

    endpoint: Endpoint
    client: Client
    s3: Any
    bucket: str
    shard: Path
    job: Job

    @property
    def authorization(self) -> str:
        return f"Bearer {self.endpoint.key_file.read_text()}"

    @property
    def archive(self) -> Artifact:
        return next(file for file in self.client.artifacts(self.job.id) if file.name == "archive.zip")


def write_with_webdataset(folder: Path) -> Path:
    """Let the library write a shard of two classes, a sample each in turn."""
    with webdataset.ShardWriter(str(folder / "train-%06d.tar"), maxcount=N_SAMPLES, verbose=0) as writer:
        for i in range(N_SAMPLES):
            picture = Image.open(io.BytesIO(png(i % 2, i)))
            writer.write({"__key__": f"sample{i:04d}", "png": picture, "cls": i % 2})
    return folder / "train-000000.tar"


def config(uri: str) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": {"uri": uri, "label_names": NAMES}, **QUICK})


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Served]:
    with TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as name:
        folder, bucket = Path(name), f"test-{uuid4().hex}"
        s3 = boto3.client(
            "s3",
            endpoint_url=stack.s3_endpoint,
            aws_access_key_id=stack.s3_access_key,
            aws_secret_access_key=stack.s3_secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        s3.create_bucket(Bucket=f"{bucket}-data")
        variables = {
            "DDOQ_S3_ENDPOINT": stack.s3_endpoint,
            "DDOQ_S3_ACCESS_KEY": stack.s3_access_key,
            "DDOQ_S3_SECRET_KEY": stack.s3_secret_key,
            "DDOQ_S3_BUCKET": bucket,
            "DDOQ_DATASET_BUCKETS": f"{bucket}-data",
        }
        shard = write_with_webdataset(folder)
        with launch(folder / "data", **variables) as launched, launched.client() as client:
            endpoint = Endpoint.model_validate_json(endpoint_file(folder / "data").read_text())
            *_, job = client.watch(client.submit(config(client.upload(shard).uri)).id)
            assert job.status == "succeeded", job.error
            yield Served(endpoint, client, s3, bucket, shard, job)
        s3.close()


def download_archive(served: Served, folder: Path) -> Path:
    (file,) = served.client.download(served.job.id, folder, [served.archive.name])
    return file


def keys_below(served: Served, prefix: str) -> list[str]:
    pages = served.s3.get_paginator("list_objects_v2").paginate(Bucket=served.bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_shard_written_by_webdataset_is_distilled_from_an_upload(served: Served, tmp_path: Path) -> None:
    archive = ddoq.load_archive(download_archive(served, tmp_path))
    assert archive.class_names == tuple(NAMES)
    assert archive.labels.tolist() == [0, 0, 1, 1]


def test_webdataset_reads_a_shard_of_what_was_distilled(served: Served, tmp_path: Path) -> None:
    file = download_archive(served, tmp_path)
    ddoq.write_shard(file, tmp_path / "train.tar")
    samples = list(webdataset.WebDataset(str(tmp_path / "train.tar"), shardshuffle=False).decode("torchrgb"))
    archive = ddoq.load_archive(file)
    assert [sample["cls"] for sample in samples] == archive.labels.tolist()
    assert torch.equal(torch.stack([sample["png"] for sample in samples]), archive.images / 255)
    assert torch.equal(torch.tensor([sample["json"]["weight"] for sample in samples]), archive.weights)


def test_boto3_fetches_every_file_of_a_job_from_the_bucket(served: Served, tmp_path: Path) -> None:
    offered = {file.name: file for file in served.client.artifacts(served.job.id)}
    found = {key.rpartition("/")[2]: key for key in keys_below(served, f"jobs/{served.job.id}/package/")}
    for name in offered:
        served.s3.download_file(served.bucket, found[name], str(tmp_path / name))
    assert {name: sha256(tmp_path / name) for name in offered} == {name: file.sha256 for name, file in offered.items()}


def test_boto3_fetches_an_upload_as_it_was_sent(served: Served) -> None:
    upload_id = served.client.upload(served.shard).id
    (key,) = keys_below(served, f"uploads/{upload_id}/")
    body = served.s3.get_object(Bucket=served.bucket, Key=key)["Body"].read()
    assert body == served.shard.read_bytes()


def test_a_dataset_that_boto3_stores_is_the_same_as_one_that_is_uploaded(served: Served) -> None:
    served.s3.upload_file(str(served.shard), f"{served.bucket}-data", "wild/train.tar")
    asked = [
        config(uri) for uri in (served.client.upload(served.shard).uri, f"s3://{served.bucket}-data/wild/train.tar")
    ]
    with httpx.Client(base_url=served.endpoint.url, headers={"Authorization": served.authorization}) as http:
        plans = [
            http.post("/v1/jobs?validate_only=true", json=one.model_dump(mode="json"), timeout=60).json()["dataset"]
            for one in asked
        ]
    assert plans[0] == plans[1]
    assert plans[0]["format"] == "webdataset"
    assert [one["name"] for one in plans[0]["classes"]] == NAMES


def test_curl_goes_on_with_a_file_of_a_job(served: Served, tmp_path: Path) -> None:
    file, url = tmp_path / "archive.zip", f"/v1/jobs/{served.job.id}/artifacts/archive.zip"
    whole = download_archive(served, tmp_path / "whole").read_bytes()
    file.write_bytes(whole[:1000])
    curl = ["curl", "-sS", "--fail", "-H", f"Authorization: {served.authorization}", "-C", "-", "-o", str(file)]
    subprocess.run([*curl, served.endpoint.url + url], check=True, timeout=60)
    assert sha256(file) == served.archive.sha256
