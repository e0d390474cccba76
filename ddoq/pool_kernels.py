# mypy: disable-error-code="untyped-decorator"
"""The loops of `ddoq.networks.fused` over one image after another, compiled by numba. Bare: the caller has checked all.

Images are (b, h, w, c) in memory. What is called is set into its caller: a kernel from numba's cache would otherwise
round unlike one that was compiled just now. Loops over channels stay short and apart: with more than a handful of
arrays in one, the compiler gives up to vectorize.
"""

import numpy as np
from numba import njit
from numpy import float32
from numpy.typing import NDArray

from ddoq.row_kernels import REORDER

Floats = NDArray[np.float32]


@njit(inline="always")
def relu(y: float32) -> float32:
    return float32(0) if y <= 0 else y  # NaN stays NaN


@njit(inline="always")
def measure(pixels: Floats, eps: float32, mean: Floats, reciprocal: Floats) -> None:
    """Fill the mean of each channel of an image, and the reciprocal of its deviation."""
    h, w, c = pixels.shape
    mean[:] = 0
    reciprocal[:] = 0
    for i in range(h):
        for j in range(w):
            for k in range(c):
                mean[k] += pixels[i, j, k]
    mean /= float32(h * w)
    for i in range(h):
        for j in range(w):
            for k in range(c):
                reciprocal[k] += (pixels[i, j, k] - mean[k]) ** 2
    reciprocal[:] = float32(1) / np.sqrt(reciprocal / float32(h * w) + eps)


@njit(nogil=True, cache=True, fastmath=REORDER)
def pool(x: Floats, scale: Floats, shift: Floats, eps: float32, pooled: Floats, moments: Floats) -> None:
    """Fill `pooled`, and `moments` by the mean and the reciprocal deviation of each channel of each image."""
    b, h, w, c = x.shape
    slope, start = np.empty(c, np.float32), np.empty(c, np.float32)
    for image in range(b):
        pixels, (mean, reciprocal) = x[image], moments[image]
        measure(pixels, eps, mean, reciprocal)
        for k in range(c):
            slope[k] = scale[k] * reciprocal[k]
            start[k] = shift[k] - slope[k] * mean[k]
        for i in range(h // 2):
            upper, lower = pixels[2 * i], pixels[2 * i + 1]
            for j in range(w // 2):
                made = pooled[image, i, j]
                for k in range(c):
                    made[k] = float32(0.25) * (
                        relu(slope[k] * upper[2 * j, k] + start[k])
                        + relu(slope[k] * upper[2 * j + 1, k] + start[k])
                        + relu(slope[k] * lower[2 * j, k] + start[k])
                        + relu(slope[k] * lower[2 * j + 1, k] + start[k])
                    )


@njit(inline="always")
def spread(pixels: Floats, of_pooled: Floats, line: tuple[Floats, Floats], made: Floats) -> None:
    """Give each pixel the gradient of the pooled one that it went into, where the line through it is above zero."""
    (slope, start), (h, w, c) = line, pixels.shape
    made[h // 2 * 2 :] = 0
    made[:, w // 2 * 2 :] = 0
    for i in range(h // 2 * 2):
        for j in range(w // 2 * 2):
            given, of, to = pixels[i, j], of_pooled[i // 2, j // 2], made[i, j]
            for k in range(c):
                to[k] = float32(0) if slope[k] * given[k] + start[k] <= 0 else of[k]


@njit(inline="always")
def add_up(pixels: Floats, mean: Floats, made: Floats, total: Floats, product: Floats) -> None:
    """Sum a gradient over an image, and the gradient times the centred input."""
    h, w, c = pixels.shape
    total[:] = 0
    product[:] = 0
    for i in range(h):
        for j in range(w):
            for k in range(c):
                total[k] += made[i, j, k]
            for k in range(c):
                product[k] += made[i, j, k] * (pixels[i, j, k] - mean[k])


@njit(nogil=True, cache=True, fastmath=REORDER)
def unpool(
    x: Floats, scale: Floats, shift: Floats, moments: Floats, of_pooled: Floats, of_x: Floats, of_moments: Floats
) -> None:
    """Fill `of_x`, and `of_moments` by sums over each image: of the gradient, of it times the normalised input."""
    b, h, w, c = x.shape
    slope, start = np.empty(c, np.float32), np.empty(c, np.float32)
    level, tilt = np.empty(c, np.float32), np.empty(c, np.float32)
    for image in range(b):
        pixels, made, (mean, reciprocal), (total, product) = x[image], of_x[image], moments[image], of_moments[image]
        for k in range(c):
            slope[k] = scale[k] * reciprocal[k]
            start[k] = shift[k] - slope[k] * mean[k]
        spread(pixels, of_pooled[image], (slope, start), made)
        add_up(pixels, mean, made, total, product)
        for k in range(c):
            total[k] *= float32(0.25)
            product[k] *= float32(0.25) * reciprocal[k]
            tilt[k] = slope[k] * product[k] * reciprocal[k] / float32(h * w)
            level[k] = slope[k] * total[k] / float32(h * w) - tilt[k] * mean[k]
            slope[k] *= float32(0.25)
        for i in range(h):
            for j in range(w):
                given, to = pixels[i, j], made[i, j]
                for k in range(c):
                    to[k] = slope[k] * to[k] - level[k] - tilt[k] * given[k]
