# mypy: disable-error-code="untyped-decorator, return-value"
"""The loops of the quantizer over rows, compiled by numba. Bare: `ddoq.gram` and `ddoq.points` have checked all.

Masses are per row (`mass`) and per cell (`masses`); a cell is an index into the centroids.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.int8]
Dots = NDArray[np.float32] | NDArray[np.int32]

LANES = 16  # numbers in a register

# Of a block: rows, squared lengths, masses, products with the centroids, scales of the rows in these;
# centroids, their squared lengths, their scales in these products.
Block = tuple[Floats, Floats, Floats, Dots, Floats]
Means = tuple[Floats, Floats, Floats]

# Sums in any order, so that they vectorize; infinities stay what they are.
REORDER = {"reassoc", "contract", "arcp", "nsz"}


@njit(nogil=True, cache=True, fastmath=REORDER)
def centre(z: Floats, origin: Floats, rows: Floats, norms: Floats) -> None:
    """Rows from an origin, and their squared lengths, which are not finite if a row is not."""
    for i in range(len(z)):
        norm = np.float32(0)
        for j in range(z.shape[1]):
            difference = z[i, j] - origin[j]
            rows[i, j] = difference
            norm += difference * difference
        norms[i] = norm


@njit(nogil=True, cache=True, fastmath=REORDER)
def round_to_bytes(z: Floats) -> tuple[Bytes, Floats]:
    """Rows as bytes, each in units of its own scale: 1/127 of its largest magnitude."""
    n, d = z.shape
    rounded, scales = np.empty((n, d), np.int8), np.empty(n, np.float32)
    bits = z.view(np.int32)  # which rise with the number, once the sign is off: their largest is found many at a time
    smallest = np.full(1, np.float32(1e-30)).view(np.int32)
    top = np.empty(1, np.int32)
    for i in range(n):
        largest = smallest[0]
        for j in range(d):
            largest = max(largest, bits[i, j] & np.int32(0x7FFFFFFF))
        top[0] = largest
        scales[i] = top.view(np.float32)[0] / np.float32(127)
        inverse = np.float32(1) / scales[i]
        for j in range(d):
            rounded[i, j] = np.int8(np.rint(z[i, j] * inverse))
    return rounded, scales


@njit(nogil=True, cache=True)
def gather(z: Floats, mass: Floats, of_rows: Ints, k: int) -> tuple[Doubles, Doubles]:
    n, d = z.shape
    sums, masses = np.zeros((k, d)), np.zeros(k)
    for i in range(n):
        cell = of_rows[i]
        masses[cell] += mass[i]
        for j in range(d):
            sums[cell, j] += mass[i] * z[i, j]
    return sums, masses


@njit(nogil=True, cache=True, fastmath=REORDER)
def distance(row: Floats, total: Doubles, mass: float) -> float:
    distance, inverse = 0.0, 1 / mass
    for j in range(len(row)):
        difference = row[j] - total[j] * inverse
        distance += difference * difference
    return distance


@njit(nogil=True, cache=True, fastmath=REORDER)
def distances_to(z: Floats, centroids: Floats, of_rows: Ints) -> Doubles:
    distances = np.empty(len(z))
    for i in range(len(z)):
        centroid, distance = centroids[of_rows[i]], np.float32(0)
        for j in range(z.shape[1]):
            difference = z[i, j] - centroid[j]
            distance += difference * difference
        distances[i] = distance
    return distances


@njit(nogil=True, cache=True)
def move(row: Floats, m: float, a: int, b: int, sums: Doubles, masses: Doubles) -> None:
    for j in range(len(row)):
        sums[a, j] -= m * row[j]
        sums[b, j] += m * row[j]
    masses[a] -= m
    masses[b] += m


@njit(nogil=True, cache=True, fastmath=REORDER)
def means_of(sums: Doubles, masses: Doubles) -> tuple[Floats, Floats]:
    """Centroids, and their squared lengths; then centroids infinitely far away, to a number that vectorizes."""
    k, d = sums.shape
    whole = -(-k // LANES) * LANES
    centroids, squares = np.zeros((whole, d), np.float32), np.full(whole, np.inf, np.float32)
    for c in range(k):
        inverse, square = 1 / masses[c], np.float32(0)
        for j in range(d):
            mean = np.float32(sums[c, j] * inverse)
            centroids[c, j] = mean
            square += mean * mean
        squares[c] = square
    return centroids, squares


@njit(nogil=True, cache=True)
def padded(masses: Doubles, length: int) -> Floats:
    held = np.ones(length, np.float32)
    held[: len(masses)] = masses
    return held


@njit(nogil=True, cache=True, fastmath=REORDER)
def to_costs(dots: Dots, twice: float, scales: Floats, squares: Floats, costs: Floats) -> None:
    """|c|^2 - 2 z c of one row from its products with the centroids, in units of the scales of both."""
    for c in range(len(dots)):
        costs[c] = squares[c] - twice * scales[c] * np.float32(dots[c])


@njit(nogil=True, cache=True, fastmath=REORDER | {"nnan"})
def place_of_least(values: Floats) -> int:
    """The first of equals, of numbers; twice through, since that vectorizes and once does not."""
    least, place = values[0], np.int32(len(values))
    for c in range(len(values)):
        least = values[c] if values[c] < least else least
    for c in range(len(values)):
        place = min(place, np.int32(c) if values[c] == least else np.int32(0x7FFFFFFF))
    return place


@njit(nogil=True, cache=True, fastmath=REORDER)
def nearest_in_block(dots: Dots, row_scales: Floats, scales: Floats, squares: Floats, nearest: Ints) -> None:
    costs = np.empty(len(squares), np.float32)
    for i in range(len(dots)):
        to_costs(dots[i], np.float32(2) * row_scales[i], scales, squares, costs)
        nearest[i] = place_of_least(costs)


@njit(nogil=True, cache=True, fastmath=REORDER)
def find_restless(block: Block, means: Means, of_rows: Ints, masses: Doubles) -> Ints:
    """Rows that may rather be put into another cell than stay, or are alone: the one loop that every row pays for."""
    _, norms, mass, dots, row_scales = block
    _, squares, scales = means
    n, found, held = 0, np.empty(len(dots), np.int64), padded(masses, len(squares))
    for i in range(len(dots)):
        a, m, norm, twice, of_row = of_rows[i], mass[i], norms[i], np.float32(2) * row_scales[i], dots[i]
        own, rest = norm + squares[a] - twice * scales[a] * np.float32(of_row[a]), held[a] - m
        gain = own * held[a] / rest if own > 0 and rest > np.float32(0.5) * m else np.float32(np.inf)
        offset, count, beyond = gain * m, np.float32(0), norm - gain
        for c in range(len(of_row)):
            count += np.float32((beyond + squares[c] - twice * scales[c] * np.float32(of_row[c])) * held[c] < offset)
        if count > 1:  # its own cell is one
            found[n] = i
            n += 1
    return found[:n]


@njit(nogil=True, cache=True)
def exchange_block(
    block: Block, means: Means, state: tuple[Ints, Doubles, Doubles], restless: Ints, seen: Ints, may_move: bool
) -> tuple[int, float]:
    z, norms, mass, dots, row_scales = block
    of_rows, sums, masses = state
    moved, saved = 0, 0.0
    held = padded(masses, len(means[1]))
    costs, prices = np.empty(len(held), np.float32), np.empty(len(held), np.float32)
    for i in restless:
        a, m = of_rows[i], mass[i]
        rest = held[a] - m
        to_costs(dots[i], np.float32(2) * row_scales[i], means[2], means[1], costs)
        seen[i] = place_of_least(costs)
        to_prices(costs, norms[i], m, held, prices)
        prices[a] = np.inf
        b = place_of_least(prices)
        if rest <= 0.5 * m or b == a or prices[b] >= (norms[i] + costs[a]) * (held[a] / rest) * np.float32(1.0001):
            continue
        gain = m * distance(z[i], sums[a], masses[a]) * masses[a] / (masses[a] - m)
        gain -= m * distance(z[i], sums[b], masses[b]) * masses[b] / (masses[b] + m)
        if gain > 1e-7 * m * norms[i]:
            moved += 1
            if may_move:
                saved += gain
                of_rows[i] = b
                move(z[i], m, a, b, sums, masses)
                held[a], held[b] = masses[a], masses[b]
    return moved, saved


@njit(nogil=True, cache=True, fastmath=REORDER)
def to_prices(costs: Floats, norm: float, m: float, held: Floats, prices: Floats) -> None:
    """What it costs to put a row into each cell, for a unit of its mass."""
    for c in range(len(costs)):
        prices[c] = (norm + costs[c]) * (held[c] / (held[c] + m))


@njit(nogil=True, cache=True)
def medoids_of(cells: Ints, distances: Doubles, k: int) -> Ints:
    """The row of each cell at the least distance, the first of equals."""
    medoids = np.full(k, -1)
    for i in range(len(cells)):
        best = medoids[cells[i]]
        if best < 0 or distances[i] < distances[best]:
            medoids[cells[i]] = i
    return medoids
