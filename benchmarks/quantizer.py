"""Our quantizer beside faiss, scikit-learn and D4M's pass: seconds, distortion and memory, in one run.

    python benchmarks/quantizer.py [--rounds 5] [--workload W1-50 ...] [--data FOLDER] [--plot FILE.svg]

All methods take turns in one process, every round in another order of turns and from another seed, with all cores for
each. Memory is measured (on Linux with glibc) in a process of its own for each method, after a run on a small class.
"""

import argparse
import ctypes
import gc
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import perf_counter

from quantizer_methods import METHODS, N_THREADS, OURS, distortion, use_all_threads
from quantizer_plot import time_plot
from quantizer_workloads import MADE, REAL, Rows, Workload, open_workload

MIB = 2**20


@dataclass(frozen=True)
class Result:
    """What one method did: seconds and distortion of each round, and peak memory above the data in bytes."""

    seconds: tuple[float, ...]
    distortions: tuple[float, ...]
    memory: int


def main() -> None:
    arguments = parse()
    names = [name for name in METHODS if arguments.best or name != "ours, best"]
    chosen = arguments.workload or [*MADE, *(REAL if arguments.data else ())]
    panels = {}
    use_all_threads()
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            workload = open_workload(name, arguments.classes, Path(folder), arguments.data)
            results = compare(workload, names, arguments)
            caption = f"{workload.name}: {describe(workload, arguments.classes)}"
            print(f"\n{caption}; {arguments.rounds} rounds, {N_THREADS} threads\n\n{table(results)}", flush=True)
            panels[caption] = {name: (median(r.seconds), mean(r.distortions)) for name, r in results.items()}
    if arguments.plot:
        arguments.plot.write_text(time_plot(panels))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workload", nargs="+", choices=[*MADE, *REAL], help="default: all that can be made")
    parser.add_argument(
        "--classes", type=int, default=sys.maxsize, help="take only the first classes, for a quick look"
    )
    parser.add_argument(
        "--data", type=Path, help="folder with cifar10, taesd and fashion-mnist, for the real workloads"
    )
    parser.add_argument("--best", action="store_true", help="our highest effort as well")
    parser.add_argument("--plot", type=Path, help="write distortion against time to this SVG file")
    return parser.parse_args()


def compare(workload: Workload, names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Result]:
    """Let the methods take turns, then measure the memory of each."""
    classes = workload.classes(arguments.classes)
    for name in names:
        warm_up(name, classes, workload.k)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    distortions: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(arguments.rounds):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            gc.collect()
            start = perf_counter()
            books = METHODS[name](classes, workload.k, turn)
            seconds[name].append(perf_counter() - start)
            distortions[name].append(distortion(classes, books))
            print(f"{workload.name} {turn} {name}: {seconds[name][-1]:.3f} s", file=sys.stderr, flush=True)
    memory = {name: memory_of(name, workload, arguments.classes) for name in names}
    return {name: Result(tuple(seconds[name]), tuple(distortions[name]), memory[name]) for name in names}


def warm_up(name: str, classes: Sequence[Rows], k: int) -> None:
    """Compile what is compiled at the first call, on a class small enough and of the same shape of problem."""
    METHODS[name]([classes[0][: 100 * k]], k, 0)


def memory_of(name: str, workload: Workload, n_classes: int) -> int:
    """Peak memory in bytes above the data, of a process in which this method is alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_above_data, (name, workload, n_classes))


def peak_above_data(name: str, workload: Workload, n_classes: int) -> int:
    use_all_threads()
    classes = workload.classes(n_classes)
    warm_up(name, classes, workload.k)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # give back what the warm-up freed, or it would be missing from the peak
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: ru_maxrss would remember the parent's
    before = resident("VmRSS")
    books = METHODS[name](classes, workload.k, 0)
    peak = resident("VmHWM") - before
    del books  # alive until here: what a method returns is part of its peak
    return peak


def resident(line: str) -> int:
    """Bytes of memory that Linux accounts to this process, now (VmRSS) or at its peak (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{line}:")[2].split()[0])


def describe(workload: Workload, n_classes: int) -> str:
    counts, d = workload.counts[:n_classes], workload.classes(1)[0].shape[1]
    n = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    return f"{len(counts)} x {n} x {d:,}, K = {workload.k}"


def table(results: dict[str, Result]) -> str:
    """Lay the results out as Markdown that reads as plain text too, medians with the range in brackets."""
    best = min(mean(result.distortions) for result in results.values())
    rows = [("method", "seconds", f"times {OURS}", "distortion", "above best", "peak MiB")]
    for name, result in results.items():
        ratios = [mine / ours for mine, ours in zip(result.seconds, results[OURS].seconds, strict=True)]
        cost = mean(result.distortions)
        above, memory = f"{cost / best - 1:.2%}", f"{result.memory / MIB:,.0f}"
        rows.append((name, spread(result.seconds), spread(ratios), f"{cost:,.5g}", above, memory))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    return "\n".join((head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines))


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


if __name__ == "__main__":
    main()
