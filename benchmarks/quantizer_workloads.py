"""What the quantizers are compared on: made latents of three shapes, and real ones of CIFAR-10 and Fashion-MNIST.

A workload lies in one file, classes one after another, and is mapped into memory: there is one copy of the data,
whoever looks at it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from encode_memory import take
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

Rows = NDArray[np.float32]

SEED = 20250107
N_IMAGES = 10_000  # of each, encoded once: three minutes on two cores


@dataclass(frozen=True)
class Workload:
    """Classes of `counts` rows, stacked in `file`, each to be quantized by `k` codewords."""

    name: str
    k: int
    file: Path
    counts: tuple[int, ...]

    def classes(self, n_classes: int) -> list[Rows]:
        """Map the first `n_classes` classes [n d] into memory and touch every page, so that none is read later."""
        rows = np.load(self.file, mmap_mode="c")
        parts = np.split(rows, np.cumsum(self.counts)[:-1])[:n_classes]
        for part in parts:
            part[:, ::1024].sum()
        return parts


@dataclass(frozen=True)
class Mixture:
    """Gaussian mixture on `rank` axes of falling length, plus white noise; unit variance a coordinate.

    The j-th axis is as long as j to the power of minus `decay`. Of the variance on the axes the share `between` is
    between the `components` of a class, the rest within them; of the whole, the share `noise` is white noise.

    All five were fitted to nothing but what other quantizers had been measured to lose against a plain exchange (no
    local search) on such data; `docs/quantizer.md` has the table.
    """

    shape: tuple[int, int, int]  # classes, rows, dimensions
    rank: int
    components: int
    between: float
    noise: float
    decay: float

    def sample(self, label: int) -> Rows:
        """Draw one class [n d], the same whatever was drawn before it."""
        rng = np.random.default_rng((SEED, label, *self.shape[1:]))
        _, n, d = self.shape
        lengths = np.arange(1, self.rank + 1, dtype=np.float32) ** -np.float32(self.decay)
        lengths *= np.sqrt((1 - self.noise) / np.square(lengths).sum())
        axes = rng.standard_normal((self.rank, d), dtype=np.float32)
        means = rng.standard_normal((self.components, self.rank), dtype=np.float32)
        inner = rng.standard_normal((n, self.rank), dtype=np.float32)
        codes = np.float32(np.sqrt(self.between)) * means[rng.integers(self.components, size=n)]
        codes += np.float32(np.sqrt(1 - self.between)) * inner
        z = rng.standard_normal((n, d), dtype=np.float32)
        z *= np.float32(np.sqrt(self.noise))
        z += (codes * lengths) @ axes
        return z


# ImageNet at 256 pixels by SD's autoencoder; CIFAR-10; one large class.
W1 = Mixture((100, 1_300, 4_096), rank=29, components=149, between=0.48, noise=0.56, decay=0.06)
W2 = Mixture((10, 5_000, 64), rank=10, components=10, between=0.35, noise=0.12, decay=0.4)
W3 = Mixture((1, 100_000, 256), rank=56, components=200, between=0.68, noise=0.7, decay=0.07)
MADE = {"W1-50": (W1, 50), "W1-10": (W1, 10), "W2": (W2, 50), "W3": (W3, 200)}
REAL = {"cifar-10": 50, "fashion-mnist": 50}


def open_workload(name: str, n_classes: int, folder: Path, data: Path | None) -> Workload:
    """Make a workload in `folder`, or find it there.

    Args:
        name: A key of `MADE` or `REAL`.
        n_classes: Classes to make at most.
        folder: Takes the file.
        data: Holds `cifar10`, `taesd` and `fashion-mnist`; only real workloads need it.
    """
    if name in MADE:
        mixture, k = MADE[name]
        return Workload(name, k, *_made(mixture, min(n_classes, mixture.shape[0]), folder))
    if data is None:
        raise SystemExit(f"{name} is made of real images; name their folder with --data")
    parts = _latents(name, data)
    np.save(folder / f"{name}.npy", np.concatenate(parts))
    return Workload(name, REAL[name], folder / f"{name}.npy", tuple(map(len, parts)))


def _made(mixture: Mixture, n_classes: int, folder: Path) -> tuple[Path, tuple[int, ...]]:
    _, n, d = mixture.shape
    file, counts = folder / f"{n}x{d}.npy", (n,) * n_classes
    if not file.exists():
        rows = open_memmap(file, mode="w+", dtype=np.float32, shape=(n * n_classes, d))
        for label in range(n_classes):
            rows[label * n : (label + 1) * n] = mixture.sample(label)
    return file, counts


def _latents(name: str, data: Path) -> list[Rows]:
    """Latents of a tiny autoencoder, by the encode stage; kept in the temporary folder from run to run."""
    from scoreboard_data import MEMBERS, write_zip

    from ddoq.config import DistillConfig
    from ddoq.datasets import open_dataset
    from ddoq.encode import encode
    from ddoq.events import ignore
    from ddoq.latents import open_latents
    from ddoq.manifests import is_complete
    from ddoq.prior import load_encoder
    from ddoq.sources import Access

    folder = Path(tempfile.gettempdir(), f"ddoq-bench-{name}-{N_IMAGES}")
    if not is_complete(folder):
        folder.mkdir(exist_ok=True)
        write_zip(folder / "all.zip", MEMBERS[name](data))
        take(folder / "all.zip", folder / "images.zip", N_IMAGES)
        prior = {"kind": "vae", "model": str(data / "taesd"), "resolution": 64}
        uri = (folder / "images.zip").as_uri()
        config = DistillConfig.model_validate({"dataset": {"uri": uri}, "prior": prior})
        dataset = open_dataset(config.dataset, Access((folder,), (), None, folder))
        encode(dataset, load_encoder(config), config, folder, ignore)
    latents = open_latents(folder)
    return [latents.of_class(label).numpy() for label in range(len(latents.manifest.counts))]
