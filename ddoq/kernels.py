"""The loops of the quantizer over inner products, compiled by numba. Bare: `ddoq.gram` calls them and has checked all.

`gram` is (products, norms, mass of each row); `parts` is a partition: (cells, R as [k n], S, masses of the cells).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ddoq.row_kernels import REORDER, Doubles, Floats, Ints

Products = tuple[Floats, Floats, Floats]
Parts = tuple[Ints, Floats, Doubles, Doubles]

STRIP = 128  # rows that are compared with all centroids at once, before any of them moves


@njit(nogil=True, cache=True, fastmath=REORDER)
def place_products(part: NDArray[np.int32], scales: Floats, start: int, products: Floats) -> None:
    """Write a block of integer products, of rows from `start` on with all rows from `start` on, to both sides."""
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            products[start + i, start + j] = part[i, j] * (scales[start + i] * scales[start + j])
    for j in range(part.shape[0], part.shape[1]):
        for i in range(part.shape[0]):
            products[start + j, start + i] = products[start + i, start + j]


@njit(nogil=True, cache=True, fastmath=REORDER)
def come_closer(of_row: Floats, norms: Floats, norm: float, mass: Floats, nearest: Floats, closer: Floats) -> float:
    """Squared distance of each row to the nearest seed with one row more among the seeds, and the cost of that."""
    cost = 0.0
    for i in range(len(of_row)):
        distance = norms[i] + norm - np.float32(2) * of_row[i]
        distance = distance if distance > 0 else np.float32(0)
        closer[i] = distance if distance < nearest[i] else nearest[i]
        cost += mass[i] * closer[i]
    return cost


@njit(nogil=True, cache=True)
def draw_seeds(products: Floats, norms: Floats, mass: Floats, k: int, uniforms: Doubles) -> Ints:
    """Rows of the seeds; -1 from where no row is left at a distance."""
    n = len(norms)
    rows = np.full(k, -1, np.int64)
    nearest, best, candidate = np.ones(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    chances, far = np.empty(n, np.float64), np.full(n, np.inf, np.float32)
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
            cost = come_closer(products[row], norms, norms[row], mass, nearest if place else far, candidate)
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
    reach, masses, within = np.zeros((k, n), np.float32), np.zeros(k), np.zeros(k)
    for j in range(n):
        masses[cells[j]] += mass[j]
        row, of_cell = products[j], reach[cells[j]]
        for i in range(n):
            of_cell[i] += mass[j] * row[i]
    for i in range(n):
        within[cells[i]] += mass[i] * reach[cells[i], i]
    return reach, within, masses


@njit(nogil=True, cache=True, fastmath=REORDER)
def shift(gram: Products, parts: Parts, row: int, cell: int, m: float) -> None:
    """Put a row of mass `m` into a cell, or take it out with its mass negative."""
    products, norms, _ = gram
    _, reach, within, masses = parts
    within[cell] += m * (m * norms[row] + 2 * reach[cell, row])
    masses[cell] += m
    of_cell, of_row, weight = reach[cell], products[row], np.float32(m)
    for j in range(len(of_row)):
        of_cell[j] += weight * of_row[j]


@njit(nogil=True, cache=True, fastmath=REORDER)
def count_cheaper(gram: Products, parts: Parts, start: int, stop: int) -> Floats:
    """For each row of a strip, the cells it would rather go into than stay: its own, if it is not alone, and more."""
    norms, mass = gram[1][start:stop], gram[2][start:stop]
    cells, reach, within, masses = parts
    counts, bounds = np.zeros(stop - start, np.float32), np.empty(stop - start, np.float32)
    for i in range(stop - start):
        a = cells[start + i]
        rest = masses[a] - mass[i]
        own = norms[i] - 2 * reach[a, start + i] / masses[a] + within[a] / masses[a] ** 2
        bounds[i] = own * masses[a] / rest if rest > 0.5 * mass[i] else -np.inf
    for c in range(len(masses)):
        held, of_cell = np.float32(masses[c]), reach[c, start:stop]
        inverse, offset = np.float32(2 / masses[c]), np.float32(within[c] / masses[c] ** 2)
        for i in range(stop - start):
            cost = (norms[i] + offset - inverse * of_cell[i]) * held / (held + mass[i])
            counts[i] += np.float32(cost < bounds[i])
    return counts


@njit(nogil=True, cache=True, fastmath=REORDER)
def to_prices(norm: float, m: float, to_row: Floats, within: Doubles, masses: Doubles, prices: Doubles) -> None:
    """What it costs to put a row into each cell, for a unit of its mass."""
    for c in range(len(masses)):
        inverse = 1 / masses[c]
        prices[c] = (norm + (within[c] * inverse - 2 * to_row[c]) * inverse) * masses[c] / (masses[c] + m)


@njit(nogil=True, cache=True, fastmath=REORDER)
def move_to_cheapest(gram: Products, parts: Parts, row: int, prices: Doubles) -> bool:
    """Move a row that is not alone by the rule, if that lowers the cost."""
    _, norms, mass = gram
    cells, reach, within, masses = parts
    a, m, norm = cells[row], mass[row], norms[row]
    own = norm - 2 * reach[a, row] / masses[a] + within[a] / masses[a] ** 2
    to_prices(norm, m, reach[:, row], within, masses, prices)
    prices[a] = np.inf
    b = np.argmin(prices)
    if prices[b] >= own * masses[a] / (masses[a] - m) * (1 - 1e-6):
        return False
    shift(gram, parts, row, a, -m)
    shift(gram, parts, row, b, m)
    cells[row] = b
    return True


@njit(nogil=True, cache=True)
def exchange(gram: Products, parts: Parts, max_passes: int) -> int:
    n, prices = len(parts[0]), np.empty(len(parts[3]))
    for n_passes in range(1, max_passes + 1):
        n_moved = 0
        for start in range(0, n, STRIP):
            counts = count_cheaper(gram, parts, start, min(start + STRIP, n))
            for i in range(len(counts)):
                if counts[i] > 1 and parts[3][parts[0][start + i]] > 1.5 * gram[2][start + i]:
                    n_moved += move_to_cheapest(gram, parts, start + i, prices)
        if n_moved == 0:
            return n_passes
    return max_passes


@njit(nogil=True, cache=True, fastmath=REORDER)
def two_nearest(norms: Floats, parts: Parts) -> tuple[Floats, Floats]:
    """Squared distances of each row to the nearest and to the second centroid."""
    _, reach, within, masses = parts
    n = len(norms)
    nearest, second = np.full(n, np.inf, np.float32), np.full(n, np.inf, np.float32)
    for c in range(len(masses)):
        inverse, offset, of_cell = np.float32(2 / masses[c]), np.float32(within[c] / masses[c] ** 2), reach[c]
        for i in range(n):
            distance = max(norms[i] + offset - inverse * of_cell[i], np.float32(0))
            second[i] = min(second[i], max(nearest[i], distance))
            nearest[i] = min(nearest[i], distance)
    return nearest, second


@njit(nogil=True, cache=True)
def least_missed(mass: Floats, cells: Ints, to_row: Floats, nearest: Floats, second: Floats, k: int) -> int:
    """Cell whose centroid costs least to lose, once there is one at a row at squared distances `to_row` from all."""
    misses = np.zeros(k)
    for i in range(len(cells)):
        misses[cells[i]] += mass[i] * (min(to_row[i], second[i]) - min(to_row[i], nearest[i]))
    return int(np.argmin(misses))


@njit(nogil=True, cache=True)
def second_cell(norms: Floats, parts: Parts, row: int) -> int:
    """Nearest cell to a row beside its own."""
    cells, reach, within, masses = parts
    least, second = np.inf, -1
    for c in range(len(masses)):
        distance = norms[row] - 2 * reach[c, row] / masses[c] + within[c] / masses[c] ** 2
        if distance < least and c != cells[row]:
            least, second = distance, c
    return second


@njit(nogil=True, cache=True)
def swap(gram: Products, parts: Parts, uniform: float) -> Parts:
    """A copy of the partition in which a row, drawn by its cost, has taken the place of the centroid missed least."""
    products, norms, mass = gram
    cells = parts[0]
    nearest, second = two_nearest(norms, parts)
    chances = np.cumsum((mass * nearest).astype(np.float64))
    row = min(np.searchsorted(chances, uniform * chances[-1], side="right"), len(cells) - 1)
    to_row = np.maximum(norms + norms[row] - 2 * products[row], 0)
    to_row[row] = -1
    is_alone = parts[3][cells[row]] <= 1.5 * mass[row]
    gone = cells[row] if is_alone else least_missed(mass, cells, to_row, nearest, second, len(parts[3]))
    of_rows, reach, within, masses = cells.copy(), parts[1].copy(), parts[2].copy(), parts[3].copy()
    reach[gone], within[gone], masses[gone] = 0, 0, 0
    for i in range(len(cells)):
        a, m = cells[i], mass[i]
        if a == gone:
            of_rows[i] = gone if to_row[i] < second[i] else second_cell(norms, parts, i)
        elif to_row[i] < nearest[i] and masses[a] > 1.5 * m:
            of_rows[i] = gone
            shift(gram, (of_rows, reach, within, masses), i, a, -m)
        else:
            continue
        shift(gram, (of_rows, reach, within, masses), i, of_rows[i], m)
    return of_rows, reach, within, masses
