"""A unit's blocks on their way to the object store while the stage works on the next ones, and back."""

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from ddoq.blocks import FOLDER as BLOCKS
from jobs.artifacts import MANIFEST, ObjectStore
from jobs.errors import LeaseLostError, StorageUnavailableError
from jobs.records import Claim
from worker.lease import CancelOrdered

KEPT = re.compile(rf"(\d+)/{BLOCKS}/(\d+)/{re.escape(MANIFEST)}")


class Shipment:
    """Uploads the complete blocks in `folder` to below `prefix`, each once and its manifest last."""

    def __init__(self, objects: ObjectStore, folder: Path, prefix: str) -> None:
        self._objects = objects
        self._folder = folder
        self._prefix = prefix
        self._thread = ThreadPoolExecutor(1, "shipment")
        self._sent: dict[str, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Upload what is complete, unless it is of no use any more; after that nothing is written."""
        is_useless = isinstance(error, LeaseLostError | CancelOrdered)
        if not is_useless:
            self.look()
        self._thread.shutdown(cancel_futures=is_useless)

    def look(self) -> None:
        """Begin to upload what has become complete."""
        for manifest in sorted((self._folder / BLOCKS).glob(f"*/{MANIFEST}")):
            name = manifest.parent.name
            if name not in self._sent:
                self._sent[name] = self._thread.submit(self._upload, name)

    def _upload(self, name: str) -> None:
        self._objects.upload_folder(self._folder / BLOCKS / name, f"{self._prefix}/{BLOCKS}/{name}")

    def close(self) -> None:
        """Upload the rest, and last a manifest that says that all is there.

        Raises:
            StorageUnavailableError: whatever the object store said, of any block.
        """
        self.look()
        for name, sent in self._sent.items():
            if isinstance(sent.exception(), StorageUnavailableError):  # since then it may be back
                self._upload(name)
            else:
                sent.result()
        (self._folder / MANIFEST).write_text("{}")
        for file in sorted(self._folder.glob("*.json"), key=lambda file: file.name == MANIFEST):
            self._objects.put_file(file, f"{self._prefix}/{file.name}", "application/json")


def restore(objects: ObjectStore, claim: Claim, folder: Path) -> None:
    """Take over the blocks that earlier attempts of a unit have completed, here or elsewhere.

    An attempt that lost its lease may still add to its own: a block is the same, whoever made it.
    """
    if claim.attempt == 1:
        return
    for manifest in sorted(folder.parent.glob(f"*/{BLOCKS}/*/{MANIFEST}")):
        own = folder / BLOCKS / manifest.parent.name
        if not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            manifest.parent.rename(own)
    unit = claim.prefix.rpartition("/")[0]
    found = {
        match[2]: f"{unit}/{match[1]}/{BLOCKS}/{match[2]}"
        for key in objects.list_keys(unit)
        if (match := KEPT.fullmatch(key.removeprefix(f"{unit}/")))
    }
    for name, prefix in found.items():
        objects.download_folder(prefix, folder / BLOCKS / name)
