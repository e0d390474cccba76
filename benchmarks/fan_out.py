"""Seconds that the encode stage takes one worker, and two: the same job in services of their own, in turns.

    python benchmarks/fan_out.py [--data ZIP] [--model FOLDER] [--resolution 64] [--rounds 3]

ZIP holds `<class>/<file>` or `train/<class>/<file>`; without one, images are generated. A worker has one thread
and one core, as if it were a machine of its own. What is printed of each round is the time from the stage's first start
to its last end, and in the end the medians and their ratio. Nothing else may be at work on the two cores.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from latent_cache import generate

from cli.demo import service
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.prior_config import PixelsPrior
from ddoq_client import Client, StageProgress

PER_CLASS = 2000  # of ten classes of generated images
WORKERS = 1, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="zip of class folders; without one, images are generated")
    parser.add_argument("--model", type=Path, help="folder of a diffusers autoencoder; without one, the pixels prior")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        data = arguments.data or generate(Path(name) / "data.zip", PER_CLASS)
        prior: dict[str, Any] = {"kind": "pixels", "resolution": arguments.resolution}
        if arguments.model:
            prior |= {"kind": "vae", "model": str(arguments.model.resolve())}
            os.environ["DDOQ_MODELS"] = str(arguments.model.resolve())
        fields = {"dataset": {"uri": data.resolve().as_uri()}, "prior": prior, "evaluation": "none"}
        config = DistillConfig.model_validate({**fields, "images_per_class": 10})
        seconds: dict[int, list[float]] = {n: [] for n in WORKERS}
        for _ in range(arguments.rounds):
            for n_workers, taken in seconds.items():
                taken.append(seconds_of(config, n_workers, data.resolve().parent))
    one, two = (median(taken) for taken in seconds.values())
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(f"one {one:.1f} s, two {two:.1f} s, ratio {median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


def seconds_of(config: DistillConfig, n_workers: int, root: Path) -> float:
    """Run the job in a fresh service; print and answer how long its encode stage took."""
    with tempfile.TemporaryDirectory(prefix="ddoq-fan-out-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # under root PostgreSQL runs as another
        with service(Path(folder), root, "--workers", str(n_workers)) as client:
            give_cores()
            warm_up(client, config, n_workers)
            stage = next(found for found in run(client, config) if found.stage == Stage.ENCODE)
    print(f"{n_workers} at work: {stage.seconds:.1f} s for {stage.total:,} images", flush=True)
    return float(stage.seconds or 0)


def give_cores() -> None:
    """Give each worker, with its child, one core: the threads that decode images would take the other."""
    workers = [process for process in psutil.Process().children(recursive=True) if is_worker(process)]
    for core, worker in enumerate(workers):
        for process in (worker, *worker.children(recursive=True)):
            process.cpu_affinity([core])


def is_worker(process: psutil.Process) -> bool:
    """Whether this is a worker's main process; its child has the same command."""
    parent = process.parent()
    return is_worker_command(process) and not (parent and is_worker_command(parent))


def is_worker_command(process: psutil.Process) -> bool:
    return process.cmdline()[1:3] == ["-m", "worker"]


def warm_up(client: Client, config: DistillConfig, n_workers: int) -> None:
    """Let every worker load torch and compile kernels: jobs of one small image a class."""
    small = config.model_copy(update={"images_per_class": 1, "prior": PixelsPrior(resolution=8)})
    for job in [client.submit(small) for _ in range(2 * n_workers)]:
        job.wait()


def run(client: Client, config: DistillConfig) -> Sequence[StageProgress]:
    """Run a job to its end; answer its stages."""
    job = client.submit(config).wait()
    if job.status != "succeeded":
        raise SystemExit(f"the job {job.status}: {job.error}")
    return job.stages


if __name__ == "__main__":
    main()
