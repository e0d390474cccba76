"""Peak memory of encoding and of generating few and many images, which must not grow with their number.

    python benchmarks/encode_memory.py DATA [--model FOLDER]

DATA is a zip of `train/<class>/<file>`. Each stage runs in a process of its own. For encoding, the share of the time
that is spent inside the model is printed: what is left is reading, decoding files and writing latents.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = (5_000, 14_000)
IMAGES_PER_CLASS = (10, 100)
MOST = 1.1  # times the memory that few images take


@dataclass(frozen=True)
class Place:
    """A dataset in `folder`, whose stages are kept beside it, and the autoencoder that is used, or none."""

    folder: Path
    model: Path | None

    def config(self, images_per_class: int = 10) -> Any:
        from ddoq.config import DistillConfig

        vae = {"kind": "vae", "model": str(self.model), "resolution": 64}
        return DistillConfig.model_validate(
            {
                "dataset": {"uri": (self.folder / "data.zip").as_uri()},
                "prior": vae if self.model else {"kind": "pixels", "resolution": 32},
                "reducer": "random",
                "canvas": "prior",
                "images_per_class": images_per_class,
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, help="folder of a diffusers autoencoder; without one, the pixels prior")
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES, help="training images to encode")
    arguments = parser.parse_args()
    encoded, generated = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            place = Place(Path(scratch, str(size)), arguments.model and arguments.model.resolve())
            place.folder.mkdir()
            take(arguments.data, place.folder / "data.zip", size)
            peak, share = apart(encode_all, place)
            encoded.append(peak)
            print(f"encode   {size:6d} images: peak {peak / 2**20:7.1f} MiB, {share:.1%} inside the model", flush=True)
        for k in IMAGES_PER_CLASS:
            n = apart(reduce_all, place, k)
            generated.append(apart(generate_all, place, k))
            print(f"generate {n:6d} images: peak {generated[-1] / 2**20:7.1f} MiB", flush=True)
    growth = [most / least for least, most in (encoded, generated)]
    print(f"growth of encode {growth[0]:.3f}, of generate {growth[1]:.3f}")
    sys.exit(max(growth) > MOST)


def apart(stage: Callable[..., Any], *arguments: Any) -> Any:
    """Run a stage in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(stage, arguments)


def encode_all(place: Place) -> tuple[int, float]:
    """Encode; answer the peak memory in bytes, and the share of the time that was spent inside the model."""
    from ddoq.datasets import open_dataset
    from ddoq.encode import encode
    from ddoq.events import ignore
    from ddoq.prior import load_encoder
    from ddoq.sources import Access

    config, inside = place.config(), [0.0]
    dataset = open_dataset(config.dataset, Access((place.folder,), (), None, place.folder / "cache"))
    prior = timed(load_encoder(config), inside)
    start = time.perf_counter()
    encode(dataset, prior, config, place.folder / "encode", ignore)
    return peak_bytes(), inside[0] / (time.perf_counter() - start)


def reduce_all(place: Place, images_per_class: int) -> int:
    """Choose codewords; answer how many."""
    from ddoq.events import ignore
    from ddoq.latents import open_latents
    from ddoq.quantize_stage import quantize_all

    latents, config = open_latents(place.folder / "encode"), place.config(images_per_class)
    names = tuple(map(str, range(len(latents.manifest.counts))))
    folder = place.folder / f"codebooks-{images_per_class}"
    folder.mkdir()
    (books,) = quantize_all(latents, names, config, folder, ignore)
    return sum(books.budget.counts)


def generate_all(place: Place, images_per_class: int) -> int:
    """Make the images of the codewords; answer the peak memory in bytes."""
    from ddoq.codebooks import open_codebooks
    from ddoq.events import ignore
    from ddoq.generate import generate
    from ddoq.prior import load_encoder

    (books,) = open_codebooks(place.folder / f"codebooks-{images_per_class}")
    folder = place.folder / f"images-{images_per_class}"
    folder.mkdir()
    config = place.config(images_per_class)
    generate(books, load_encoder(config), config, folder, ignore)
    return peak_bytes()


def timed(prior: Any, inside: list[float]) -> Any:
    """The same prior, which adds up in `inside` the seconds that it takes to encode."""

    class Timed(type(prior)):
        def encode(self, *arguments: Any) -> Any:
            start = time.perf_counter()
            z = super().encode(*arguments)
            inside[0] += time.perf_counter() - start
            return z

    return Timed(**vars(prior))


def peak_bytes() -> int:
    """Most resident memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def take(source: Path, target: Path, size: int) -> None:
    """Copy `size` training images, the same number of each class, and what is in the test split."""
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as part:
        names = [name for name in whole.namelist() if name.startswith("train/") and not name.endswith("/")]
        each = size // len({name.split("/")[1] for name in names})
        taken: Counter[str] = Counter()
        for name in names:
            taken[name.split("/")[1]] += 1
            if taken[name.split("/")[1]] <= each:
                part.writestr(name, whole.read(name))


if __name__ == "__main__":
    main()
