"""Small labelled datasets for tests: coloured noise that a student can tell apart, written as real image files."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zstandard
from PIL import Image

from ddoq.sources import Access


def access_to(*roots: Path) -> Access:
    """Leave to read below `roots`, as the command line gives it."""
    return Access(file_roots=tuple(roots), s3_buckets=(), s3=None, cache=roots[0] / "cache")


def png(label: int, index: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """One picture: the class sets the mean colour, the index the noise."""
    rng = np.random.default_rng((label, index))
    colour = np.array([(40, 200, 90), (200, 60, 60), (60, 80, 220), (220, 220, 40)][label % 4])
    pixels = (colour + rng.normal(0, 40, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def members(
    names: Sequence[str] = ("cat", "dog", "eel"), n_train: int = 12, n_test: int = 4, size: tuple[int, int] = (16, 16)
) -> dict[str, bytes]:
    """`train/<class>/<n>.png` and `test/<class>/<n>.png`; without test images there is no split folder."""
    files = {}
    for label, name in enumerate(names):
        for index in range(n_train + n_test):
            split = "train" if index < n_train else "test"
            path = f"{name}/{index:03d}.png" if n_test == 0 else f"{split}/{name}/{index:03d}.png"
            files[path] = png(label, index, size)
    return files


def write_zip(file: Path, files: dict[str, bytes]) -> str:
    """Write a zip; answer its URI."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.as_uri()


def write_tar(file: Path, files: dict[str, bytes], mode: str = "w") -> str:
    """Write a tar (`w`, `w:gz`); answer its URI."""
    with tarfile.open(file, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.as_uri()


def write_tar_zst(file: Path, files: dict[str, bytes]) -> str:
    """Write a tar packed by Zstandard; answer its URI."""
    uri = write_tar(file, files)
    file.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(file.read_bytes()))
    return uri


def write_folder(folder: Path, files: dict[str, bytes]) -> str:
    """Write a folder of class folders; answer its URI."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder.as_uri()


def samples(n, label=lambda i: str(i % 2), ending="cls"):
    """Members of a WebDataset tar, images and labels by turns."""
    files = {}
    for i in range(n):
        files[f"{i:04d}.png"] = png(i % 2, i)
        files[f"{i:04d}.{ending}"] = label(i).encode()
    return files


def labelled_table(n, header="file_name,label", label=lambda i: "ab"[i % 2], folder="images/"):
    """A folder of images and a CSV that labels them."""
    rows = [header, *(f"{folder}{i:02d}.png,{label(i)}" for i in range(n))]
    return {f"{folder}{i:02d}.png": png(i % 2, i) for i in range(n)} | {"labels.csv": "\n".join(rows).encode()}
