"""Peak memory of the encode stage on few and on many images: it must not grow with their number.

    python benchmarks/encode_memory.py DATA

DATA is a zip of `train/<class>/<file>`; each size is encoded in a process of its own.
"""

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

SIZES = (5_000, 14_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, help="folder of a diffusers autoencoder; without one, the pixels prior")
    arguments = parser.parse_args()
    peaks = []
    for size in SIZES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(peak_of, (arguments.data.resolve(), arguments.model, size)))
        print(f"{size:6d} images: peak {peaks[-1] / 2**20:7.1f} MiB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")
    sys.exit(peaks[1] > 1.1 * peaks[0])


def peak_of(data: Path, model: Path | None, size: int) -> int:
    """Encode `size` images; answer the peak resident memory of this process in bytes."""
    from ddoq.config import DistillConfig
    from ddoq.datasets import open_dataset
    from ddoq.events import ignore
    from ddoq.latents import encode
    from ddoq.prior import load_prior
    from ddoq.sources import Access

    folder = Path(tempfile.mkdtemp())
    take(data, folder / "data.zip", size)
    prior = {"kind": "vae", "model": str(model), "resolution": 64} if model else {"kind": "pixels", "resolution": 32}
    config = DistillConfig.model_validate({"dataset": {"uri": (folder / "data.zip").as_uri()}, "prior": prior})
    dataset = open_dataset(config.dataset, Access((folder,), (), None, folder / "cache"))
    encode(dataset, load_prior(config), 0.0, folder / "encode", ignore)
    shutil.rmtree(folder)
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
