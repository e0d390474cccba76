"""Seconds of a first distillation of a dataset, and of a second with another number of images, by one cache.

    python benchmarks/latent_cache.py [--data ZIP] [--model FOLDER]

ZIP holds `<class>/<file>` or `train/<class>/<file>`; without one, images are generated. Nothing is evaluated: what is
timed is reading, encoding or fetching latents, quantizing, generating and packing.
"""

import argparse
import io
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill
from ddoq.events import ignore
from ddoq.sources import Access
from ddoq.usage import read_usage

IMAGES_PER_CLASS = 10, 11  # as good as equal, so that all else takes as long
N_CLASSES, PER_CLASS, SIDE = 10, 500, 64  # of generated images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="zip of class folders; without one, images are generated")
    parser.add_argument("--model", type=Path, help="folder of a diffusers autoencoder; without one, the pixels prior")
    arguments = parser.parse_args()
    model = {"kind": "vae", "model": str(arguments.model), "resolution": 64}
    prior = model if arguments.model else {"kind": "pixels", "resolution": 32}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        few = generate(scratch / "few.zip", 20)
        for number in IMAGES_PER_CLASS:  # what is imported and compiled is not timed
            seconds_of(few, prior, number, scratch / f"few-{number}", FolderCache(scratch / "few-cache"))
        data, cache = arguments.data or generate(scratch / "data.zip", PER_CLASS), FolderCache(scratch / "cache")
        first, second = (seconds_of(data, prior, k, scratch / str(k), cache) for k in IMAGES_PER_CLASS)
    print(f"ratio {second / first:.3f}")


def seconds_of(data: Path, prior: dict[str, Any], images_per_class: int, folder: Path, cache: FolderCache) -> float:
    """Distil; print and answer how long it took."""
    fields = {"dataset": {"uri": data.resolve().as_uri()}, "prior": prior, "evaluation": "none"}
    config = DistillConfig.model_validate({**fields, "images_per_class": images_per_class})
    access, start = Access((data.resolve().parent,), (), None, folder / "sources"), time.perf_counter()
    distill(config, folder, access, ignore, cache)
    seconds = time.perf_counter() - start
    stages = {stage.value: usage.seconds for stage in config.stages if (usage := read_usage(folder / stage))}
    told = ", ".join(f"{stage} {spent:.2f}" for stage, spent in stages.items())
    print(f"{data.name}, {images_per_class} a class: {seconds:.2f} s ({told})", flush=True)
    return seconds


def generate(file: Path, per_class: int) -> Path:
    """Write images of noise around a colour for each class."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(file, "w") as archive:
        for label, colour in enumerate(rng.integers(60, 200, (N_CLASSES, 3))):
            for number in range(per_class):
                pixels = (colour + rng.normal(0, 40, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG")
                archive.writestr(f"{label}/{number:04d}.png", png.getvalue())
    return file


if __name__ == "__main__":
    main()
