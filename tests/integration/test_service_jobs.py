"""Whole jobs through the real service: priors that are trained, sweeps, teachers, and what outlives a job."""

from pathlib import Path

import httpx
from safetensors.torch import save_file

from cli.folder import Endpoint, endpoint_file
from ddoq.archive import load_archive
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.networks import NetworkConfig, make_network
from ddoq.seeds import stream
from ddoq_client import Client, Job
from tests.integration.launch import launch
from tests.pictures import members, write_zip
from tests.web import serve

FIT = {"kind": "fit", "resolution": 16, "size": "small", "steps": 3, "train_batch_size": 8}


def config(uri: str, **changes: object) -> DistillConfig:
    students = {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8}
    body = {"dataset": {"uri": uri}, "prior": FIT, "sampler": {"steps": 4}, "students": students}
    return DistillConfig.model_validate({**body, **changes})


def finished(client: Client, asked: DistillConfig) -> Job:
    *_, job = client.watch(client.submit(asked).id)
    assert job.status == "succeeded", job.error
    return job


def test_a_dataset_uploaded_or_not_is_encoded_and_a_prior_trained_once_and_a_sweep_has_an_archive_each(
    server_folder: Path, tmp_path: Path
) -> None:
    uri = write_zip(tmp_path / "data.zip", members())
    with launch(server_folder, "--root", str(tmp_path)) as launched, launched.client() as client:
        sweep = finished(client, config(uri, images_per_class=[3, 2]))
        kept = kept_by(server_folder)
        assert {path.name for path in kept} == {"00000.tar", "prior.tar"}
        uploaded = client.upload(tmp_path / "data.zip").uri
        again = finished(client, config(uploaded, images_per_class=2))
        assert {Stage.ENCODE, Stage.FIT} <= {at.stage for at in again.stages}
        assert kept_by(server_folder) == kept
        assert all(path.with_suffix(".used").exists() for path in kept)
        archives = {
            path.name: load_archive(path).labels.bincount().tolist()
            for path in client.download(sweep.id, tmp_path)
            if path.suffix == ".zip"
        }
    assert archives == {"ipc-3-archive.zip": [3, 3, 3], "ipc-2-archive.zip": [2, 2, 2]}
    assert {"ipc-3.accuracy.distilled.mean", "ipc-2.accuracy.distilled.mean"} <= set(sweep.figures)
    assert "accuracy.distilled.mean" in again.figures


def test_a_dataset_on_a_web_server_is_distilled_where_its_network_may_be_reached(
    server_folder: Path, tmp_path: Path
) -> None:
    write_zip(tmp_path / "data.zip", members())
    with serve() as site:
        uri = site.put("/data.zip", (tmp_path / "data.zip").read_bytes())
        with launch(server_folder, DDOQ_PRIVATE_NETWORKS="127.0.0.1/32") as launched, launched.client() as client:
            quick = config(uri, images_per_class=2).model_dump(exclude={"prior", "sampler", "teacher"})
            job = finished(client, DistillConfig.model_validate({**quick, "method": "random", "canvas": "real"}))
    assert "accuracy.distilled.mean" in job.figures


def peak_bytes(server_folder: Path, job_id: str) -> dict[str, int]:
    """What the API says that each stage took."""
    endpoint = Endpoint.model_validate_json(endpoint_file(server_folder).read_text())
    key = {"Authorization": f"Bearer {endpoint.key_file.read_text()}"}
    stages = httpx.get(f"{endpoint.url}/v1/jobs/{job_id}", headers=key).json()["stages"]
    return {at["stage"]: at["peak_bytes"] for at in stages}


def kept_by(server_folder: Path) -> dict[Path, int]:
    """What the object store keeps beside the jobs, and when each was written."""
    found = (server_folder / "s3" / "buckets" / "ddoq" / "cache").rglob("*.tar")
    return {path: path.stat().st_mtime_ns for path in found}


def test_a_teachers_labels_come_with_the_archive(server_folder: Path, tmp_path: Path) -> None:
    network = make_network(NetworkConfig("convnet-3", width=8), 3, 16, stream(0))
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    teacher = {
        "kind": "checkpoint",
        "network": "convnet-3",
        "width": 8,
        "checkpoint": str(tmp_path / "teacher.safetensors"),
        "mean": [0.5] * 3,
        "deviation": [0.25] * 3,
        "resolution": 16,
    }
    uri = write_zip(tmp_path / "data.zip", members())
    asked = config(uri, images_per_class=2, prior={"kind": "pixels", "resolution": 16}, sampler={}, teacher=teacher)
    with (
        launch(server_folder, "--root", str(tmp_path), DDOQ_MODELS=str(tmp_path)) as launched,
        launched.client() as client,
    ):
        job = finished(client, asked)
        loaded = load_archive(*client.download(job.id, tmp_path, ["archive.zip"]))
        trained = {"kind": "train", "network": "convnet-3", "width": 8, "steps": 3}
        taught = finished(client, DistillConfig.model_validate(asked.model_dump() | {"teacher": trained}))
        peaks = peak_bytes(server_folder, job.id)
    assert Stage.TEACH in {at.stage for at in taught.stages}
    assert taught.figures["bytes.soft_labels"] == job.figures["bytes.soft_labels"]
    assert set(peaks) == {at.stage for at in job.stages}
    assert all(50 * 2**20 < peak < 2**40 for peak in peaks.values())  # torch alone takes more
    assert loaded.soft_labels is not None
    assert loaded.soft_labels.shape == (6, 3)
    assert job.figures["bytes.soft_labels"] == 6 * 3 * 2
    assert "accuracy.random, same labels.mean" in job.figures
