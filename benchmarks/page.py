"""How fast the API answers with the page of a job of 1,000 classes, and how much the page weighs beside its images.

    python -m benchmarks.page [--classes 1000] [--images 10] [--calls 50]

PostgreSQL, Valkey and S3 of our own, and one uvicorn process. One job has ended: its archive, index and report are
written as the package stage writes them. Another still runs, with every block of its images made. The first call finds
an API process that has shown a list of jobs, but has seen neither job. Beside the page, in the same run, stands the
same job as JSON.
"""

import argparse
import random
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import torch
from pydantic import TypeAdapter
from sqlalchemy import Engine

from benchmarks.api import serve, start_servers
from cli.servers import Running
from cli.watchdog import Watchdog
from ddoq.blocks import cut_codewords
from ddoq.budgets import Budget
from ddoq.config import DistillConfig
from ddoq.evaluate import score
from ddoq.events import Stage
from ddoq.image_index import GeneratedBlock, ImageIndex, IndexedClass, image_path
from ddoq.images import encode_png
from ddoq.read_manifest import ReadManifest
from ddoq.report import report_json
from ddoq.report_plots import draw_plots
from ddoq.types import Report
from jobs.artifacts import MANIFEST, ObjectStore, make_s3_client
from jobs.keys import Keys, Scope
from jobs.leases import Leases
from jobs.records import Artifact, Claim
from jobs.schema import make_engine
from jobs.settings import load_settings
from jobs.store import Store

OWNER = "somebody"
SIDE = 64
GOAL_MS, GOAL_BYTES = 200, 40_000
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Made:
    """What a benchmark's job consists of."""

    config: DistillConfig
    class_names: tuple[str, ...]
    shares: tuple[float, ...]
    picture: bytes


@dataclass(frozen=True)
class Place:
    """Where jobs are made."""

    store: Store
    leases: Leases
    objects: ObjectStore
    folder: Path

    def put(self, key: str, content: bytes) -> Artifact:
        """Store a file."""
        (self.folder / "file").write_bytes(content)
        self.objects.put_file(self.folder / "file", key, "application/octet-stream")
        return Artifact(key.rpartition("/")[2], key, len(content), "0" * 64, "application/octet-stream")

    def reach(self, owner: str, stage: Stage, made: Made) -> Claim:
        """Submit a job and finish the stages before one, as workers do that find the dataset read."""
        self.store.submit(owner, made.config)
        while True:
            claim = self.leases.claim("benchmark")
            assert claim
            if claim.stage is stage:
                return claim
            is_read = claim.stage is Stage.READ
            if is_read:
                self.put(f"{claim.prefix}/{MANIFEST}", _listed(made))
            self.leases.finish(claim, blocks={Stage.GENERATE: 1} if is_read else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=10, help="of each class")
    parser.add_argument("--calls", type=int, default=50, help="behind the first one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ddoq-page-", ignore_cleanup_errors=True) as name, Watchdog() as watchdog:
        running: list[Running] = []
        try:
            start_servers(Path(name), watchdog, running)
            engine = make_engine(load_settings().database_url)
            jobs = _make_jobs(engine, Path(name), make(arguments.classes, arguments.images))
            for title, job_id in jobs.items():
                port = serve("api.app:create_app", "/healthz", Path(name), watchdog, running)
                measure(title, f"http://127.0.0.1:{port}", _secret(engine), job_id, arguments.calls)
            engine.dispose()
        finally:
            for server in reversed(running):
                server.stop()


def make(n_classes: int, n_images: int) -> Made:
    """Think up a job of so many classes, with so many images of each."""
    body = {
        "dataset": {"uri": "s3://datasets/flowers.zip"},
        "images_per_class": n_images,
        "prior": {"kind": "pixels", "resolution": SIDE},
    }
    draw = np.random.default_rng(0)
    pixels = torch.from_numpy(draw.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))
    shares = sorted(draw.dirichlet(np.ones(n_images)).tolist(), reverse=True)
    names = tuple(f"class {label:04d} of the dataset" for label in range(n_classes))
    return Made(DistillConfig.model_validate(body), names, tuple(shares), encode_png(pixels))


def _make_jobs(engine: Engine, folder: Path, made: Made) -> dict[str, str]:
    """Make both jobs; answer their ids."""
    settings = load_settings()
    objects = ObjectStore(make_s3_client(settings), settings.s3_bucket)
    place = Place(Store(engine), Leases(engine, 3600), objects, folder)
    ended = place.reach(OWNER, Stage.PACKAGE, made)
    place.leases.finish(ended, package(place, ended, made))
    growing = place.reach(OWNER, Stage.GENERATE, made)
    _generate(place, growing, made)
    return {"a job that has ended": ended.job_id, "a job that runs": growing.job_id}


def package(place: Place, claim: Claim, made: Made) -> list[Artifact]:
    """Write what the page reads of an archive, and an archive of only images."""
    size, n = len(made.picture), len(made.shares)
    starts = [[size * (label * n + codeword) for codeword in range(n)] for label in range(len(made.class_names))]
    classes = [
        IndexedClass(name, made.shares, tuple(own), (size,) * n)
        for name, own in zip(made.class_names, starts, strict=True)
    ]
    report = _report(made)
    budget = Budget(f"ipc-{n}", (n,) * len(classes))
    files = {
        "archive.zip": made.picture * n * len(classes),
        "images.json": TypeAdapter(ImageIndex).dump_json(ImageIndex("archive.zip", SIDE, tuple(classes))),
        "report.json": report_json(report, made.config, budget).encode(),
        **{name: plot.encode() for name, plot in draw_plots(report).items()},
    }
    return [place.put(f"{claim.prefix}/{name}", content) for name, content in files.items()]


def _report(made: Made) -> Report:
    draw, n = random.Random(0), len(made.shares)
    every = {name: draw.random() for name in made.class_names}
    figures = {
        "test_images": 50_000,
        "classes": len(every),
        "train_images": 1_280_000,
        "distilled_images": n * len(every),
    }
    accuracy = {name: score([draw.random() for _ in range(3)]) for name in ("distilled", "medoids", "random real")}
    return Report(
        accuracy=accuracy,
        distortion=every,
        weights=dict.fromkeys(every, made.shares),
        figures=figures | {"resolution.encoder": SIDE, "resolution.archive": SIDE},
        remarks=(),
        by_class=dict.fromkeys(accuracy, every),
        history={name: tuple(draw.random() for _ in range(20)) for name in made.class_names[:10]},
    )


def _listed(made: Made) -> bytes:
    n = len(made.class_names)
    listed = ReadManifest(made.class_names, (1280,) * n, (50,) * n, None, False, (), "fingerprint")
    return TypeAdapter(ReadManifest).dump_json(listed)


def _generate(place: Place, claim: Claim, made: Made) -> None:
    """Complete every block; of the images only those of the first page, which is what is asked for."""
    n = len(made.shares)
    for number, stretch in enumerate(cut_codewords(made.config, made.class_names)):
        shares: dict[int, dict[int, float]] = {}
        for position in stretch.places:
            shares.setdefault(position // n, {})[position % n] = made.shares[position % n]
        block = GeneratedBlock(stretch.budget, {label: len(own) for label, own in shares.items()}, shares)
        folder = f"{claim.prefix}/blocks/{number:05d}"
        place.put(f"{folder}/{MANIFEST}", TypeAdapter(GeneratedBlock).dump_json(block))
        if number == 0:
            place.put(f"{folder}/{image_path(0, 0)}", made.picture)


def _secret(engine: Engine) -> str:
    return Keys(engine, load_settings().key_pepper).create(OWNER, "benchmark", Scope)[1]


def measure(title: str, base: str, secret: str, job_id: str, n_calls: int) -> None:
    """Print how long the page takes, the first time and later, and what it weighs."""
    with httpx.Client(base_url=base, timeout=60) as client:
        if client.post("/sign-in", data={"key": secret, "to": "/"}, headers=OWN).status_code != 303:
            raise RuntimeError("the key was refused")
        _timed(client, "/")
        first, page = _timed(client, f"/jobs/{job_id}")
        later = [_timed(client, f"/jobs/{job_id}")[0] for _ in range(n_calls)]
        key = {"Authorization": f"Bearer {secret}"}
        bare = [_timed(client, f"/v1/jobs/{job_id}", key)[0] for _ in range(n_calls)]
        image = re.search(r'<img src="([^"]+/images/[^"]+)"', page.text)
        assert image, "no image is shown"
        one = [_timed(client, f"/jobs/{image[1]}")[0] for _ in range(n_calls)]
        parts = {"html": len(page.content)}
        for url in re.findall(r'(?:href|src)="(/page/[^"]+)"', page.text):
            parts[url.partition("?")[0]] = len(client.get(url).content)
    print(f"\n{title}")
    print(f"first page  {first:7.1f} ms, goal {GOAL_MS}")
    for name, times in (("page", later), ("JSON", bare), ("an image", one)):
        p50, p99 = np.quantile(times, (0.5, 0.99))
        print(f"{name:<11} {p50:7.1f} ms p50, {p99:.1f} ms p99")
    print(f"page / JSON {np.median(later) / np.median(bare):7.2f}")
    words = ", ".join(f"{name} {n:,}" for name, n in parts.items())
    print(f"weight      {sum(parts.values()):,} bytes beside the images, goal {GOAL_BYTES:,}: {words}", flush=True)


def _timed(client: httpx.Client, path: str, headers: dict[str, str] | None = None) -> tuple[float, httpx.Response]:
    began = time.perf_counter()
    response = client.get(path, headers=headers)
    taken = 1e3 * (time.perf_counter() - began)
    if response.status_code != 200:
        raise RuntimeError(f"{path} answered {response.status_code}: {response.text[:300]}")
    return taken, response


if __name__ == "__main__":
    main()
