"""The archive as a shard for WebDataset: a tar whose members of one sample share a name up to the first dot.

Source: the WebDataset format, https://github.com/webdataset/webdataset#the-webdataset-format.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16
from safetensors.numpy import load

from ddoq.archive import SOFT_LABELS, SPLIT, ArchiveManifest, open_archive, read_metadata


def write_shard(archive: Path | str, shard: Path | str) -> None:
    """Write the images of an archive as one shard: the same bytes for the same archive.

    A sample is `png`, the image as it is in the archive; `cls`, the number of its class; `json`, with its `class`,
    `weight` (mean one in each class), `count`, `codeword` and `nearest`; and, where a teacher gave each image one soft
    label, `npy`, its logits. Labels of views stay in the archive. Samples lie class after class, so shuffle them all.

    Raises:
        ArchiveError: not a distilled archive, or a member is missing, changed or added.
    """
    with open_archive(archive) as (opened, manifest), tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in _members(opened, manifest):
            member = tarfile.TarInfo(name)  # of nobody, and of no time
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _members(archive: zipfile.ZipFile, manifest: ArchiveManifest) -> Iterator[tuple[str, bytes]]:
    logits = load(archive.read(SOFT_LABELS))["logits"] if SOFT_LABELS in manifest.members else None
    for number, row in enumerate(read_metadata(archive)):
        yield f"{number:06d}.png", archive.read(f"{SPLIT}/{row['file_name']}")
        yield f"{number:06d}.cls", row["label"].encode()
        yield f"{number:06d}.json", _described(row)
        if logits is not None:
            yield f"{number:06d}.npy", _npy(logits[number])


def _described(row: Mapping[str, str]) -> bytes:
    numbers: dict[str, Any] = {"weight": float(row["weight"]), "count": int(row["count"])}
    told = {"class": row["class"], **numbers, "codeword": int(row["codeword"]), "nearest": row["nearest"]}
    return json.dumps(told, ensure_ascii=False).encode()


def _npy(logits: Float16[np.ndarray, " c"]) -> bytes:
    file = io.BytesIO()
    np.save(file, logits, allow_pickle=False)
    return file.getvalue()
