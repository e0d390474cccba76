"""How good is DDOQ, and where does it not win? Every reducer, weighting and kind of labels on two real datasets.

    python benchmarks/scoreboard.py --data DATA --work FOLDER [--quick] [--minutes N] [--render docs/scoreboard.md]

DATA holds `fashion-mnist`, `cifar10` and `cifar10-resnets`. FOLDER keeps what is made of them and, in `results.jsonl`,
a line for each row that was measured: a second run measures what is missing, and a kill loses only the few rows that
were being trained together. Rows come in the order of their weight: DDOQ and random images first, 50 images a class
last, so that `--minutes` may end a run at any row. Nothing is tuned: every row has one recipe, one equal number of
steps, and the last step counts. The codebook, the draw, the students' start and their batches are new for each seed.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import gcd
from pathlib import Path

import torch
from scoreboard_data import Study
from scoreboard_rows import (
    DATASETS,
    DENOISED,
    IPCS,
    LABELS,
    MAKERS,
    Course,
    DatasetName,
    Labels,
    Maker,
    Result,
    Row,
    append_results,
    in_groups,
    list_rows,
    read_results,
)
from scoreboard_table import Board, Head, describe, render

from ddoq.evaluate import evaluate
from ddoq.events import ignore
from ddoq.protocols import PROTOCOLS
from ddoq.students import normalise, train

RESULTS = "results.jsonl"
TRIAL_STEPS = 10
QUICK = "1 and 10 images a class, hard labels, students a quarter as wide, half the steps"


@dataclass(frozen=True)
class Choice:
    """What is to be measured, and how."""

    rows: Sequence[Row]
    course: Course


def main() -> None:
    arguments = parse()
    choice, work = choose(arguments), arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    studies: dict[DatasetName, Study] = {
        name: Study(name, arguments.data.resolve(), work / name, choice.course, arguments.fit_steps)
        for name in arguments.datasets
    }
    print(f"commit {commit()}")
    if arguments.quick:
        print(f"quick: {QUICK}")
    if arguments.minutes > 0:
        measure(studies, choice, work / RESULTS, 60 * arguments.minutes)
    results = read_results(work / RESULTS, choice.course)
    report(choice.rows, results)
    if arguments.render:
        head = Head(arguments.date, command(), choice.course, QUICK if arguments.quick else "")
        arguments.render.write_text(render(Board(choice.rows, results), head))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="keeps datasets, codebooks, images and results")
    parser.add_argument("--quick", action="store_true", help=f"under ten minutes on two cores: {QUICK}")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after so many; 0: none")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--ipc", nargs="+", type=int, choices=IPCS, default=IPCS, help="images for each class")
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=LABELS)
    parser.add_argument("--fit", action="store_true", help="add DDOQ with a prior fitted to each dataset (long)")
    parser.add_argument("--fit-steps", type=int, help="of that fit. Default: the prior's rule")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="quick")
    parser.add_argument("--steps", type=int, help="of each student. Default: the protocol's")
    parser.add_argument("--width", type=int, help="of each student. Default: the network's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--render", type=Path, help="write the tables into this file")
    parser.add_argument("--date", default="", help="to be written above the tables")
    return parser.parse_args()


def choose(arguments: argparse.Namespace) -> Choice:
    course = Course(arguments.protocol, arguments.steps, arguments.width, arguments.seeds)
    ipcs: Sequence[int] = arguments.ipc
    makers: Sequence[Maker] = (DENOISED, *MAKERS) if arguments.fit else MAKERS
    labels: Sequence[Labels] = arguments.labels
    if arguments.quick:
        course = replace(course, steps=arguments.steps or 150, width=arguments.width or 32)
        ipcs, labels = (1, 10), ("hard",)
    return Choice(list_rows(arguments.datasets, ipcs, makers, labels), course)


def measure(studies: Mapping[DatasetName, Study], choice: Choice, file: Path, seconds: float) -> None:
    """Measure the rows that the file lacks, until they are done or the time is over."""
    started, course, n_cores = time.monotonic(), choice.course, torch.get_num_threads()
    done = read_results(file, course)
    missing = [row for row in choice.rows if row not in done]
    print(f"{len(done)} of {len(choice.rows)} rows are there, {len(missing)} to measure", flush=True)
    if missing:
        expected = estimate(studies, missing)
        print(f"about {expected / 60:.0f} minutes on {n_cores} cores as busy as now, without fitting", flush=True)
    for group in in_groups(missing, n_cores // gcd(n_cores, course.seeds)):
        if time.monotonic() - started > seconds:
            print("the time is over")
            return
        for result in (found := measure_group(studies[group[0].dataset], group)):
            print(f"{(time.monotonic() - started) / 60:5.1f} min  {describe(result)}", flush=True)
        append_results(file, found)


def measure_group(study: Study, group: Sequence[Row]) -> list[Result]:
    """Train students for a few rows at once, which keeps every core busy."""
    started, by_name = time.monotonic(), {str(row): row for row in group}
    sets = {name: study.training_sets(row) for name, row in by_name.items()}
    scores = evaluate(sets, study.test, study.plan(group[0]), ignore).accuracy
    seconds = (time.monotonic() - started) / len(group)
    teacher = study.teacher_words if group[0].labels == "soft" else ""
    return [
        Result(row, study.course, scores[name].values, seconds, commit(), machine(), teacher)
        for name, row in by_name.items()
    ]


def estimate(studies: Mapping[DatasetName, Study], rows: Sequence[Row]) -> float:
    """Foretell the seconds of all rows by a short training and one batch of the test, for each dataset."""
    seconds = 0.0
    for name, study in studies.items():
        if not (mine := [row for row in rows if row.dataset == name]):
            continue
        n_students, each = study.course.seeds * len(mine), student_seconds(study, mine[-1])
        seconds += n_students * each / torch.get_num_threads()
    return seconds


def student_seconds(study: Study, row: Row) -> float:
    """Time a student on one core, warmed up by another."""
    data, plan = study.training_sets(replace(row, labels="hard"))[0], study.plan(row)
    n_cores, short = torch.get_num_threads(), replace(plan, protocol=replace(plan.protocol, steps=TRIAL_STEPS))
    torch.set_num_threads(1)
    for _ in range(2):
        started = time.monotonic()
        student = train(plan.protocol.networks[0], data, short, 0, lambda _step, _loss: None)
        trained = time.monotonic()
        with torch.inference_mode():
            student(normalise(study.test[0][0].to(plan.device), plan))
        tested = time.monotonic()
    torch.set_num_threads(n_cores)
    return (trained - started) / TRIAL_STEPS * plan.steps + (tested - trained) * len(study.test)


def report(rows: Sequence[Row], results: Mapping[Row, Result]) -> None:
    n_done = sum(row in results for row in rows)
    minutes = sum(result.seconds for result in results.values()) / 60
    print(f"{n_done} of {len(rows)} rows measured, in {minutes:.0f} minutes in all")


def command() -> str:
    """How this run was called, without the folders of this machine."""
    words = (re.sub(r"(^|=)(\.\.)?/\S*/", r"\1", word) for word in sys.argv[1:])
    return f"python benchmarks/scoreboard.py {' '.join(words)}"


@cache
def commit() -> str:
    """Name the commit of this code, and whether it was changed since, as things were at the first call."""
    here = Path(__file__).parent.parent
    name = _git(here, "rev-parse", "--short=10", "HEAD")
    return f"{name} with changes" if _git(here, "status", "--porcelain", "ddoq", "benchmarks") else name


def _git(folder: Path, *words: str) -> str:
    found = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    return found.stdout.strip() or ""


def machine() -> str:
    """Describe what this runs on."""
    model = ""
    if (cpus := Path("/proc/cpuinfo")).exists():
        lines = cpus.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{torch.get_num_threads()} cores, {model or 'unknown processor'}{accelerator}"


if __name__ == "__main__":
    main()
