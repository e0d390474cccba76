"""Names of a job's figures."""

from dataclasses import replace

from ddoq.evaluate import score
from ddoq.types import Report
from worker.work import figures

RESNET = {"distilled": score([0.3, 0.5])}
REPORT = Report(
    accuracy={"distilled": score([0.5, 0.7])}, distortion={}, weights={}, figures={"distortion": 2.0}, remarks=()
)


def test_accuracies_are_figures_by_contender() -> None:
    named = figures(REPORT)
    assert set(named) == {"distortion", "accuracy.distilled.mean", "accuracy.distilled.deviation"}
    assert named["accuracy.distilled.mean"] == REPORT.accuracy["distilled"].mean


def test_calibration_is_a_figure_by_contender() -> None:
    named = figures(replace(REPORT, calibration={"random real": 0.25}))
    assert named["calibration.random real"] == 0.25


def test_without_evaluation_there_are_the_other_figures() -> None:
    assert figures(replace(REPORT, accuracy={})) == {"distortion": 2.0}


def test_other_networks_do_not_change_what_the_first_is_called() -> None:
    named = figures(replace(REPORT, by_network={"convnet-3": REPORT.accuracy, "resnet-18": RESNET}))
    assert named["accuracy.distilled.mean"] == named["accuracy_by_network.convnet-3.distilled.mean"]
    assert named["accuracy_by_network.resnet-18.distilled.mean"] == RESNET["distilled"].mean
    assert named["accuracy_by_network.resnet-18.distilled.deviation"] == RESNET["distilled"].deviation
