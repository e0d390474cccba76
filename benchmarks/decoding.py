"""What it costs to decode in child processes: the same images streamed so, and decoded in threads of this process.

    python benchmarks/decoding.py

The images are made: 10,000 PNGs of 32x32 at that side, and 2,000 JPEGs of 500x375 at 64. The two ways take turns; the
median of the rounds counts.
"""

import io
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ddoq.layouts import Encoded
from ddoq.pictures import decode
from ddoq.sources import LocalFolder
from ddoq.streaming import decode_ahead
from ddoq.types import Sample

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    name: str
    images: Sequence[bytes]
    resolution: int

    def encoded(self) -> Iterator[Encoded]:
        return (Encoded(str(i), 0, lambda data=data: data, len(data)) for i, data in enumerate(self.images))


def in_children(case: Case) -> int:
    return sum(int(sample.image[0, 0, 0]) for sample in streamed(case))


def streamed(case: Case) -> Iterator[Sample]:
    for sample in decode_ahead(case.encoded(), case.resolution, "crop", LocalFolder.n_threads):
        assert isinstance(sample, Sample)
        yield sample


def in_threads(case: Case) -> int:
    return sum(int(sample.image[0, 0, 0]) for sample in threaded(case))


def threaded(case: Case) -> Iterator[Sample]:
    window = deque[Future[Sample]]()
    with ThreadPoolExecutor(LocalFolder.n_threads) as pool:
        for image in case.encoded():
            window.append(pool.submit(decode_here, image, case.resolution))
            if len(window) >= 4 * LocalFolder.n_threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def decode_here(image: Encoded, resolution: int) -> Sample:
    picture, size = decode(image.load(), resolution)
    pixels = torch.from_numpy(np.array(picture).transpose(2, 0, 1).copy())
    return Sample(image.key, pixels, image.label, size)


def make(n: int, n_distinct: int, size: tuple[int, int], kind: str) -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n_distinct):
        small = rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, kind)
        made.append(file.getvalue())
    return [made[i % n_distinct] for i in range(n)]


def seconds(way: Callable[[Case], int], case: Case) -> tuple[float, int]:
    start = time.perf_counter()
    total = way(case)
    return time.perf_counter() - start, total


def main() -> None:
    cases = (
        Case("10,000 PNG 32x32 at 32", make(10_000, 500, (32, 32), "PNG"), 32),
        Case("2,000 JPEG 500x375 at 64", make(2_000, 100, (500, 375), "JPEG"), 64),
    )
    for case in cases:
        taken: dict[str, list[float]] = {"threads": [], "children": []}
        totals = set()
        for _ in range(ROUNDS):
            for name, way in (("threads", in_threads), ("children", in_children)):
                took, total = seconds(way, case)
                taken[name].append(took)
                totals.add(total)
        assert len(totals) == 1
        threads, children = (statistics.median(taken[name]) for name in ("threads", "children"))
        n = len(case.images)
        rates = f"threads {n / threads:,.0f}/s, children {n / children:,.0f}/s"
        print(f"{case.name}: {rates}, ratio of seconds {children / threads:.2f}")


if __name__ == "__main__":
    main()
