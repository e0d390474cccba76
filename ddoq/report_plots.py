"""The plots of a report, by the names of their files."""

from collections.abc import Mapping

from ddoq.contender_names import DISTILLED, RANDOM, SAME_LABELS
from ddoq.plots import accuracy_bars, accuracy_by_class, distortion_bars, weight_strip
from ddoq.plots_latents import distortion_by_pass, map_of_latents
from ddoq.types import Report

ACCURACY, WEIGHTS, DISTORTION = "accuracy.svg", "weights.svg", "distortion.svg"
BY_CLASS, MAP, BY_PASS = "accuracy-by-class.svg", "latent-map.svg", "distortion-by-pass.svg"
RIVALS = (SAME_LABELS, RANDOM)  # the first that there is: labelled alike


def draw_plots(report: Report) -> Mapping[str, str]:
    """Draw what there are numbers of; SVG text by name of file."""
    plots = {WEIGHTS: weight_strip(report.weights), DISTORTION: distortion_bars(report.distortion)}
    if report.accuracy:
        plots[ACCURACY] = accuracy_bars(report.accuracy, 1 / len(report.weights))
    rival = next((name for name in RIVALS if name in report.by_class), None)
    if rival and DISTILLED in report.by_class:
        plots[BY_CLASS] = accuracy_by_class(report.by_class[DISTILLED], report.by_class[rival], rival)
    if report.latent_map:
        plots[MAP] = map_of_latents(report.latent_map)
    passed = {name: values for name, values in report.history.items() if len(values) > 1 and values[0] > 0}
    if any(len(values) > 2 for values in passed.values()):  # of a single pass there is no curve
        plots[BY_PASS] = distortion_by_pass(passed, len(report.weights))
    return plots
