"""`make demo`: real digits through the whole service on this machine, over HTTP like anybody else."""

import io
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cli.service import open_client
from cli.up import READY
from cli.watching import end, follow
from ddoq.config import DistillConfig
from ddoq.dataset_config import DatasetConfig
from ddoq.prior_config import PixelsPrior
from ddoq_client import Client

FOLDER = Path(".demo")
STOP_SECONDS = 60
BRIGHTEST = 16  # the digits are counts of ink, 0 to 16


def write_digits(file: Path) -> None:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a zip of class folders, a fifth for test."""
    pixels, labels = load_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=0.2, stratify=labels, random_state=0)
    with zipfile.ZipFile(file, "w") as archive:
        for split, members in (("train", train), ("test", test)):
            for row in sorted(members):
                image = np.round(pixels[row].reshape(8, 8) * (255 / BRIGHTEST)).astype(np.uint8)
                archive.writestr(f"{split}/{labels[row]}/{row:04d}.png", _png(image))


def _png(image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@contextmanager
def service(folder: Path, root: Path, *more: str) -> Iterator[Client]:
    """Run `ddoq up`, with `more` options, until the block is left."""
    command = [sys.executable, "-m", "cli.main", "up", "--data", str(folder), "--port", "0", "--root", str(root), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if not any(line.startswith(READY) for line in process.stdout or ()):
            raise click.ClickException("the service did not start")  # it has said why
        with open_client(folder) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def demo() -> None:
    """Distil ten digits a class, download everything, and say what came of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that the service is stopped
    root = (FOLDER / "datasets").resolve()
    root.mkdir(parents=True, exist_ok=True)
    write_digits(root / "digits.zip")
    dataset = DatasetConfig(uri=(root / "digits.zip").as_uri())
    config = DistillConfig(dataset=dataset, images_per_class=10, prior=PixelsPrior(resolution=8))
    click.echo("starting PostgreSQL, Valkey, S3, the API and a worker ...")
    with service(FOLDER / "service", root) as client:
        job = client.submit(config)
        click.echo(f"{job.id}: 1,797 digits to 10 images a class")
        job = follow(client, job.id)
        end(job, as_json=False)
        output = FOLDER / job.id
        for artifact, path in zip(client.artifacts(job.id), client.download(job.id, output), strict=True):
            click.echo(f"{path}  {artifact.size_bytes:,} bytes, sha256 {artifact.sha256[:12]} as promised")
    click.echo(f"contact sheet: {output / 'overview.png'}")


if __name__ == "__main__":
    click.command(demo)()
