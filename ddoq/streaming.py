"""Encoded images -> samples, decoded a bounded way ahead of the consumer."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
import torch

from ddoq.image_rules import Aspect, BadImage, UnreadableImageError
from ddoq.layouts import Encoded
from ddoq.pictures import decode
from ddoq.types import Sample

_AHEAD: Final = 4  # images in flight for each thread


def decode_ahead(
    encoded: Iterator[Encoded], resolution: int, aspect: Aspect, n_threads: int
) -> Generator[Sample | BadImage, None, None]:
    """Decode in threads and yield in order, with a bounded number of images between the reader and the consumer."""
    pool, window = ThreadPoolExecutor(n_threads, "decode"), deque[Future[Sample | BadImage]]()
    try:
        for image in encoded:
            window.append(pool.submit(_decode, image, resolution, aspect))
            if len(window) >= _AHEAD * n_threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(encoded: Encoded, resolution: int, aspect: Aspect) -> Sample | BadImage:
    try:
        data = encoded.load()
        image, size = decode(data, resolution, aspect)
    except UnreadableImageError as error:
        return BadImage(encoded.key, str(error))
    pixels = torch.from_numpy(np.array(image).transpose(2, 0, 1).copy())
    return Sample(encoded.key, pixels, encoded.label, size, len(data))
