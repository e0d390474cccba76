"""The report in three forms: JSON for programs, one HTML page for people, a text table for terminals."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from math import sqrt

from jinja2 import Environment, StrictUndefined

from ddoq.budgets import Budget
from ddoq.citations import in_words
from ddoq.comparison import compare
from ddoq.conclusions import Comparison, conclude
from ddoq.config import DistillConfig
from ddoq.contender_names import DISTILLED, RANDOM, SAME_LABELS, WEIGHTED
from ddoq.marks import N_BINS
from ddoq.measure_words import gain_of_weights, words_on_bytes, words_on_coverage
from ddoq.provenance import how_made, of_each_class, used_sampler
from ddoq.report_plots import ACCURACY, BY_CLASS, BY_PASS, DISTORTION, MAP, WEIGHTS
from ddoq.types import Report, Score

LABELLED = {DISTILLED, *WEIGHTED.values(), SAME_LABELS}  # by the teacher, if there is one
NOTHING_COMPARED = "Nothing was compared: evaluation is none, so no student was trained."
DIGITS = 9  # of a figure in JSON: more would be noise of the machine


def report_json(report: Report, config: DistillConfig, budget: Budget) -> str:
    """Write the report of one budget, its comparisons and the config as JSON: keys sorted, nine significant digits.

    `made` has what the config leaves to defaults: the parts, the sampler where one was used, and how long students
    were trained.
    """
    sampler, protocol = used_sampler(config), config.resolved_protocol
    n_images, n_classes = sum(budget.counts), len(budget.counts)
    made = {
        "parts": asdict(config.parts),
        "sampler": asdict(sampler) if sampler else None,
        "students": {
            "steps": protocol.n_steps(n_images, n_classes),
            "batch_size": protocol.batch_size(n_images, n_classes),
        },
    }
    document = {
        **asdict(report),
        "budget": budget.name,
        "comparisons": [asdict(comparison) for comparison in _comparisons(report)],
        "config": config.model_dump(mode="json"),
        "made": made,
        "verdict": verdict(report.accuracy, _grain(report)),
    }
    return json.dumps(_stable(document), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def report_html(
    report: Report, config: DistillConfig, budget: Budget, overview_png: bytes | None, plots: Mapping[str, str]
) -> str:
    """Write the report as one HTML page that needs nothing else: no script, no font, no network.

    Args:
        report: What to show; names in it are foreign text and are escaped.
        config: The distillation as it was run.
        budget: The one of its budgets that the report is on.
        overview_png: A picture of the distilled images, set into the page.
        plots: Those of the report, as `draw_plots` names them.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("ddoq").joinpath("report.html.jinja").read_text("utf-8"))
    return template.render(
        report=report,
        config=config,
        of_each_class=of_each_class(budget),
        made=how_made(config, budget, report.figures),
        verdict=verdict(report.accuracy, _grain(report)),
        comparisons=_comparisons(report),
        labelled=[name for name in report.accuracy if name in LABELLED],
        n_steps=config.resolved_protocol.n_steps(sum(budget.counts), len(budget.counts)),
        conclusion=conclude,
        gain_of_weights=gain_of_weights(report.figures),
        percent=_percent,
        n_bins=N_BINS,
        network=config.student_networks[0],
        test_margin=_test_margin(report) if report.accuracy else None,
        overview=b64encode(overview_png).decode() if overview_png else None,
        accuracy_plot=plots.get(ACCURACY),
        weights_plot=plots[WEIGHTS],
        distortion_plot=plots[DISTORTION],
        by_class_plot=plots.get(BY_CLASS),
        map_plot=plots.get(MAP),
        by_pass_plot=plots.get(BY_PASS),
        on_coverage=words_on_coverage(report.figures),
        on_bytes=words_on_bytes(report.figures),
        citations=[(citation.used_for, in_words(citation)) for citation in report.citations],
    )


def accuracy_table(report: Report) -> str:
    """Write contender, accuracy in % (mean ± sample deviation) of each network and number of seeds as plain text.

    Without any accuracy that is said instead.
    """
    if not report.accuracy:
        return NOTHING_COMPARED
    networks = report.by_network or {"accuracy": report.accuracy}
    rows = [("contender", *(f"{network} %" for network in networks), "seeds")]
    for name, score in report.accuracy.items():
        rows.append((name, *(_percent(scores[name]) for scores in networks.values()), str(len(score.values))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join((row[0].ljust(widths[0]), *line[1:])) for row, line in zip(rows, lines, strict=True))


def in_plain_text(report: Report) -> str:
    """Write the accuracy table and the verdict: for terminals."""
    if not report.accuracy:
        return NOTHING_COMPARED
    return f"{accuracy_table(report)}\n{verdict(report.accuracy, _grain(report))}"


def verdict(accuracy: Mapping[str, Score], grain: float = 0.0) -> str:
    """Say in one sentence whether the distilled set beats random real images, labelled alike, by more than noise.

    `accuracy` and `grain` are as for `compare`.
    """
    if not accuracy:
        return NOTHING_COMPARED
    rival = SAME_LABELS if SAME_LABELS in accuracy else RANDOM
    against_random = next(comparison for comparison in compare(accuracy, grain) if comparison.rival == rival)
    distilled, random = accuracy[DISTILLED], accuracy[rival]
    images = "random real images" if rival == RANDOM else "random real images labelled by the same teacher"
    n, means = len(distilled.values), f"{distilled.mean:.1%} against {random.mean:.1%}"
    if against_random.margin is None:
        return f"With one seed the distilled set is not distinguishable from {images} ({means}): use more."
    if against_random.is_noise:
        return f"At {n} seeds the distilled set is not distinguishable from as many {images} ({means})."
    word = "better" if against_random.gain > 0 else "worse"
    points = f"{100 * abs(against_random.gain):.1f} ± {100 * against_random.margin:.1f} points"
    return f"The distilled set trains {word} students than as many {images}: {means}, {points} at {n} seeds."


def _percent(score: Score) -> str:
    if len(score.values) == 1:
        return f"{100 * score.mean:.1f}"
    return f"{100 * score.mean:.1f} ± {100 * score.deviation:.1f}"


def _comparisons(report: Report) -> tuple[Comparison, ...]:
    return compare(report.accuracy, _grain(report))


def _grain(report: Report) -> float:
    """What one test image more or less is to an accuracy; 0 where there is none."""
    return 1 / report.figures["test_images"] if report.accuracy else 0.0


def _test_margin(report: Report) -> float:
    """Margin (95 %) of the distilled accuracy that comes from the finite number of test images alone.

    Half of Wilson's interval, which is no point where every answer is right.
    """
    mean, n, z = report.accuracy[DISTILLED].mean, report.figures["test_images"], 1.96
    return z / (1 + z * z / n) * sqrt(mean * (1 - mean) / n + (z / n / 2) ** 2)


def _stable(value: object) -> object:
    """Round every float to `DIGITS` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _stable(entry) for key, entry in value.items()}
    return [_stable(entry) for entry in value] if isinstance(value, list | tuple) else value
