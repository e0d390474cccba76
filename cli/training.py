"""`ddoq train`: the recipe of an archive, applied, and the student on disk."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, TypeAdapter
from safetensors.torch import save

from cli.local import read_anything
from ddoq.archive import Recipe, load_archive
from ddoq.contender_names import DISTILLED
from ddoq.events import Stage
from ddoq.network_config import NetworkConfig
from ddoq.own_test import Examined, OwnTest, open_test
from ddoq.training import Student, choose_network, train
from ddoq.types import Score

OnPieces = Callable[[Stage, int, int], None]
REPORT = "report.json"


@dataclass(frozen=True)
class TrainedStudent:
    """A student that was trained from an archive; `reported` is what the report says of students of its network.

    `tested` is how it did on the caller's own test, if there is one.
    """

    network: str
    steps: int
    file: Path
    reported: Score | None
    tested: Examined | None = None

    @property
    def words(self) -> str:
        """What a person wants to know."""
        told = [f"{self.network}, {self.steps:,} steps"]
        told += [_on_test(self.tested), _on_report(self.reported)] if self.tested else [_on_accuracy(self.reported)]
        return "\n".join([*told, str(self.file)])


class _Report(BaseModel):
    """What is read of a report. `by_network` is empty where there is one network."""

    accuracy: Mapping[str, Score] = {}
    by_network: Mapping[str, Mapping[str, Score]] = {}


def train_here(
    archive: Path, network: str | None, output: Path, test: str | None, on_pieces: OnPieces
) -> TrainedStudent:
    """Train student 0 on an archive and write its weights, with what is needed to use them, to `output`.

    Args:
        archive: The file.
        network: A name; the first of the recipe when left out.
        output: A safetensors file; one that is there is replaced at the end.
        test: A labelled dataset, as a URI or a path, on which the student is tested. It is looked at first.
        on_pieces: Told how many of the steps, then of the test images, are done.

    Raises:
        DdoqError: whatever `ddoq.train` refuses, or opening the dataset.
    """
    loaded = load_archive(archive)
    recipe, chosen = loaded.recipe, choose_network(network, loaded.recipe)
    with TemporaryDirectory() as copies:
        own = open_test(loaded, _uri_of(test), read_anything(Path(copies))) if test else None
        student = train(loaded, chosen, on_step=lambda done, _loss: on_pieces(Stage.TRAIN, done, recipe.steps))
        tested = _examine(own, student, chosen, on_pieces) if own else None
    _write(student, chosen, recipe, output)
    return TrainedStudent(chosen.name, recipe.steps, output, _reported(archive, chosen, recipe), tested)


def _uri_of(dataset: str) -> str:
    return dataset if "://" in dataset else Path(dataset).absolute().as_uri()


def _examine(own: OwnTest, student: Student, network: NetworkConfig, on_pieces: OnPieces) -> Examined:
    shown = 0

    def tell(n_images: int) -> None:
        nonlocal shown
        shown += n_images
        on_pieces(Stage.EVALUATE, shown, own.n_images)

    return own.take(student, network, tell)


def _write(student: Student, network: NetworkConfig, recipe: Recipe, output: Path) -> None:
    """Write the bare network's weights under the architecture's own names: a teacher of another job, for one."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in student.network.state_dict().items()}
    about = {
        "network": TypeAdapter(NetworkConfig).dump_json(network).decode(),
        "class_names": json.dumps(student.class_names),
        "resolution": str(recipe.resolution),
        "mean": json.dumps(recipe.mean),
        "deviation": json.dumps(recipe.deviation),
    }
    unfinished = output.with_name(f"{output.name}.part")
    unfinished.write_bytes(save(weights, about))
    unfinished.replace(output)


def _reported(archive: Path, network: NetworkConfig, recipe: Recipe) -> Score | None:
    with zipfile.ZipFile(archive) as file:
        report = _Report.model_validate_json(file.read(REPORT))
    if report.by_network:
        return report.by_network.get(network.name, {}).get(DISTILLED)
    return report.accuracy.get(DISTILLED) if network == recipe.protocol.networks[0] else None


def _on_accuracy(reported: Score | None) -> str:
    if reported is None:
        return f"an archive holds no test images, and {_on_report(None)}"
    return f"an archive holds no test images; {_on_report(reported)}"


def _on_report(reported: Score | None) -> str:
    if reported is None:
        return "the report in it has no student of this network"
    return (
        f"on those of its dataset, the report in it gives students of this network "
        f"{100 * reported.mean:.1f} ± {100 * reported.deviation:.1f} %"
    )


def _on_test(tested: Examined) -> str:
    which = "images" if tested.is_whole else "test images"
    unreadable = f"; {tested.n_unreadable:,} more do not decode" if tested.n_unreadable else ""
    return f"right on {100 * tested.accuracy:.1f} % of {tested.n_images:,} {which} of {tested.dataset}{unreadable}"
