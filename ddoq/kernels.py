"""The loops of the quantizer, compiled by numba. Bare: `ddoq.gram` and `ddoq.points` call them and have checked all.

Masses are per row (`mass`) and per cell (`masses`); a cell is an index into the centroids.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

# Sums in any order, so that they vectorize; infinities stay what they are.
REORDER = {"reassoc", "contract", "arcp", "nsz"}


@njit(nogil=True, cache=True, fastmath=REORDER)
def centre(z: Floats) -> tuple[Floats, Floats]:
    """Rows without their mean, and the mean, which is not finite if a row is not."""
    n, d = z.shape
    sums, rows = np.zeros(d), np.empty((n, d), np.float32)
    for i in range(n):
        for j in range(d):
            sums[j] += z[i, j]
    origin = (sums / n).astype(np.float32)
    for i in range(n):
        for j in range(d):
            rows[i, j] = z[i, j] - origin[j]
    return rows, origin


@njit(nogil=True, cache=True, fastmath=REORDER)
def round_to_bytes(z: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Rows as bytes, each in units of its own scale: 1/127 of its largest magnitude."""
    rounded, scales = np.empty(z.shape, np.int8), np.empty(len(z), np.float32)
    for i in range(len(z)):
        largest = np.float32(1e-30)
        for j in range(z.shape[1]):
            largest = max(largest, abs(z[i, j]))
        scales[i] = largest / np.float32(127)
        inverse = np.float32(127) / largest
        for j in range(z.shape[1]):
            rounded[i, j] = np.int8(np.rint(z[i, j] * inverse))
    return rounded, scales


@njit(nogil=True, cache=True, fastmath=REORDER)
def replace_one(distances: Floats, mass: Floats, to_row: Floats) -> Ints:
    """Cells after a row, at squared distances `to_row`, took the place of the centroid whose loss costs least."""
    n, k = distances.shape
    cells, second, misses = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(k)
    for i in range(n):
        x, y = (0, 1) if distances[i, 0] <= distances[i, 1] else (1, 0)
        for c in range(2, k):
            if distances[i, c] < distances[i, x]:
                x, y = c, x
            elif distances[i, c] < distances[i, y]:
                y = c
        cells[i], second[i] = x, y
        misses[x] += mass[i] * (min(to_row[i], distances[i, y]) - min(to_row[i], distances[i, x]))
    gone = np.argmin(misses)
    for i in range(n):
        if cells[i] == gone:
            cells[i] = second[i]
        if to_row[i] < distances[i, cells[i]]:
            cells[i] = gone
    return cells


@njit(nogil=True, cache=True, fastmath=REORDER)
def place_products(part: NDArray[np.int32], scales: Floats, start: int, products: Floats) -> None:
    """Write a block of integer products, of rows from `start` on with all rows from `start` on, to both sides."""
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            products[start + i, start + j] = part[i, j] * (scales[start + i] * scales[start + j])
    for j in range(part.shape[1]):
        for i in range(part.shape[0]):
            products[start + j, start + i] = products[start + i, start + j]


@njit(nogil=True, cache=True)
def draw_seeds(products: Floats, norms: Floats, mass: Floats, k: int, uniforms: Doubles) -> Ints:
    """Rows of the seeds; -1 from where no row is left at a distance."""
    n = len(norms)
    rows = np.full(k, -1, np.int64)
    nearest, best, candidate = np.ones(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    chances = np.empty(n, np.float64)
    for place in range(k):
        total = 0.0
        for i in range(n):
            total += mass[i] * nearest[i]
            chances[i] = total
        if total <= 0:
            return rows
        least = np.inf
        for point in uniforms[place]:
            row = min(np.searchsorted(chances, point * total, side="right"), n - 1)
            while nearest[row] <= 0:
                row -= 1
            cost = 0.0
            for i in range(n):
                distance = max(norms[i] + norms[row] - 2 * products[row, i], np.float32(0))
                candidate[i] = min(distance, nearest[i]) if place else distance
                cost += mass[i] * candidate[i]
            candidate[row] = 0
            if cost < least:
                least, rows[place] = cost, row
                best, candidate = candidate, best
        nearest, best = best, nearest
    return rows


@njit(nogil=True, cache=True, fastmath=REORDER)
def nearest_of(products: Floats, norms: Floats, rows: Ints) -> Ints:
    """Nearest seed of each row; a seed stays its own."""
    n = len(norms)
    cells, least = np.zeros(n, np.int64), np.full(n, np.inf, np.float32)
    for cell, row in enumerate(rows):
        for i in range(n):
            distance = norms[row] - 2 * products[row, i]
            if distance < least[i]:
                least[i], cells[i] = distance, cell
    for cell, row in enumerate(rows):
        cells[row] = cell
    return cells


@njit(nogil=True, cache=True, fastmath=REORDER)
def tally(products: Floats, mass: Floats, cells: Ints, k: int) -> tuple[Floats, Doubles, Doubles]:
    n = len(cells)
    sums, masses, within = np.zeros((k, n), np.float32), np.zeros(k), np.zeros(k)
    for j in range(n):
        masses[cells[j]] += mass[j]
        row, of_cell = products[j], sums[cells[j]]
        for i in range(n):
            of_cell[i] += mass[j] * row[i]
    for i in range(n):
        within[cells[i]] += mass[i] * sums[cells[i], i]
    return np.ascontiguousarray(sums.T), within, masses


@njit(nogil=True, cache=True, fastmath=REORDER)
def exchange(gram: tuple[Floats, Floats, Floats], parts: tuple[Ints, Floats, Doubles, Doubles], max_passes: int) -> int:
    products, norms, mass = gram
    cells, reach, within, masses = parts
    n, k = reach.shape
    still, turn = 0, 0  # rows looked at since the last move, and in all
    while still < n and turn < max_passes * n:
        i = turn % n
        turn += 1
        still += 1
        a, m, norm = cells[i], mass[i], norms[i]
        rest = masses[a] - m
        if rest <= 0.5 * m:  # alone in its cell
            continue
        own = norm - 2 * reach[i, a] / masses[a] + within[a] / masses[a] ** 2
        least, b = own * masses[a] / rest * (1 - 1e-6), -1
        for c in range(k):
            cost = (norm - 2 * reach[i, c] / masses[c] + within[c] / masses[c] ** 2) * masses[c] / (masses[c] + m)
            if cost < least and c != a:
                least, b = cost, c
        if b < 0:
            continue
        still = 0
        within[a] += m * (m * norm - 2 * reach[i, a])
        within[b] += m * (m * norm + 2 * reach[i, b])
        masses[a] -= m
        masses[b] += m
        cells[i] = b
        row = products[i]
        for j in range(n):
            reach[j, a] -= m * row[j]
            reach[j, b] += m * row[j]
    return -(-turn // n)


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
    distance = 0.0
    for j in range(len(row)):
        difference = row[j] - total[j] / mass
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
def count_below(products: Floats, bound: float) -> int:
    """Count the centroids below a bound: the one loop that every row pays for, and it vectorizes."""
    n = np.float32(0)
    for c in range(len(products)):
        n += np.float32(products[c] < bound)
    return int(n)


@njit(nogil=True, cache=True, fastmath=REORDER)
def cheapest(products: Floats, norm: float, m: float, a: int, held: Floats) -> tuple[int, int, float]:
    """Nearest centroid, the cell other than `a` where the row costs least, and that cost."""
    closest, b, least = 0, a, np.float32(np.inf)
    for c in range(len(products)):
        if products[c] < products[closest]:
            closest = c
        cost = (norm + products[c]) * (held[c] / (held[c] + m))
        if cost < least and c != a:
            least, b = cost, c
    return closest, b, least


@njit(nogil=True, cache=True)
def exchange_block(
    block: tuple[Floats, Floats, Floats, Floats], state: tuple[Ints, Doubles, Doubles], seen: Ints, may_move: bool
) -> tuple[int, float]:
    z, norms, mass, products = block
    of_rows, sums, masses = state
    moved, saved = 0, 0.0
    held = masses.astype(np.float32)
    lightest = held.min()
    for i in range(len(z)):
        a, m = of_rows[i], mass[i]
        rest = held[a] - m
        is_alone = rest <= 0.5 * m
        own = norms[i] + products[i, a]
        bound = np.float32(np.inf) if is_alone else own * (held[a] / rest) * (1 + m / lightest) - norms[i]
        seen[i] = a
        if count_below(products[i], bound) <= 1:  # only its own: no other centroid can be cheaper
            continue
        seen[i], b, least = cheapest(products[i], norms[i], m, a, held)
        if is_alone or b == a or least >= own * (held[a] / rest) * np.float32(1.0001):
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
                lightest = min(lightest, held[a])
    return moved, saved
