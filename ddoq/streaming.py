"""Encoded images -> samples, decoded a bounded way ahead of the consumer."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import torch

from ddoq.decoding import decoders
from ddoq.decoding_frames import Refused
from ddoq.image_rules import MAX_BYTES, TOO_LARGE, Aspect, BadImage, UnreadableImageError
from ddoq.layouts import Encoded
from ddoq.types import Sample

AHEAD: Final = 2  # batches in flight for each thread
MIN_BATCH, MAX_BATCH = 4, 64  # images that one child decodes at a time, at first and later
_BATCH_BYTES: Final = 1 << 18  # of encoded images, and of pixels


def decode_ahead(
    encoded: Iterator[Encoded], resolution: int, aspect: Aspect, n_threads: int
) -> Generator[Sample | BadImage, None, None]:
    """Load in threads, decode in child processes, and yield in order, a bounded number of images ahead."""
    pool, window = ThreadPoolExecutor(n_threads, "decode"), deque[Future[list[Sample | BadImage]]]()
    try:
        for batch in _batches(encoded, resolution, n_threads):
            window.append(pool.submit(_decode, batch, resolution, aspect))
            if len(window) >= AHEAD * n_threads:
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(encoded: Iterator[Encoded], resolution: int, n_threads: int) -> Iterator[list[Encoded]]:
    """Cut into batches that grow, so that the first comes soon and a few images go to all threads."""
    most = max(1, min(MAX_BATCH, _BATCH_BYTES // (3 * resolution**2)))
    batch, n_bytes, n_batches = list[Encoded](), 0, 0
    for image in encoded:
        is_full = len(batch) >= min(most, MIN_BATCH << min(n_batches // n_threads, 8))
        if batch and (is_full or n_bytes + image.n_bytes > _BATCH_BYTES):
            yield batch
            batch, n_bytes, n_batches = [], 0, n_batches + 1
        batch.append(image)
        n_bytes += image.n_bytes
    if batch:
        yield batch


def _decode(batch: Sequence[Encoded], resolution: int, aspect: Aspect) -> list[Sample | BadImage]:
    loaded = [_load(image) for image in batch]
    images = [data for data in loaded if isinstance(data, bytes)]
    decoded = iter(decoders().decode(images, resolution, aspect))
    results = list[Sample | BadImage]()
    for image, data in zip(batch, loaded, strict=True):
        if isinstance(data, BadImage):
            results.append(data)
            continue
        found = next(decoded)
        if isinstance(found, Refused):
            results.append(BadImage(image.key, found.reason))
            continue
        pixels = torch.frombuffer(found.pixels, dtype=torch.uint8).reshape(3, resolution, resolution)
        results.append(Sample(image.key, pixels, image.label, found.size, len(data)))
    return results


def _load(image: Encoded) -> bytes | BadImage:
    try:
        data = image.load()
    except UnreadableImageError as error:
        return BadImage(image.key, str(error))
    if len(data) > MAX_BYTES:
        return BadImage(image.key, TOO_LARGE)
    return data
