"""`ddoq train`: the recipe of an archive, applied, and the student on disk."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter
from safetensors.torch import save

from ddoq.archive import Recipe, load_archive
from ddoq.contender_names import DISTILLED
from ddoq.network_config import NetworkConfig
from ddoq.training import Student, choose_network, train
from ddoq.types import Score

OnSteps = Callable[[int, int], None]
REPORT = "report.json"


@dataclass(frozen=True)
class TrainedStudent:
    """A student that was trained from an archive; `reported` is what the report says of students of its network."""

    network: str
    steps: int
    file: Path
    reported: Score | None

    @property
    def words(self) -> str:
        """What a person wants to know."""
        return f"{self.network}, {self.steps:,} steps\n{_on_accuracy(self.reported)}\n{self.file}"


class _Report(BaseModel):
    """What is read of a report. `by_network` is empty where there is one network."""

    accuracy: Mapping[str, Score] = {}
    by_network: Mapping[str, Mapping[str, Score]] = {}


def train_here(archive: Path, network: str | None, output: Path, on_steps: OnSteps) -> TrainedStudent:
    """Train student 0 on an archive and write its weights, with what is needed to use them, to `output`.

    Args:
        archive: The file.
        network: A name; the first of the recipe when left out.
        output: A safetensors file; one that is there is replaced at the end.
        on_steps: Told steps done and of how many.

    Raises:
        DdoqError: whatever `ddoq.train` refuses.
    """
    loaded = load_archive(archive)
    recipe, chosen = loaded.recipe, choose_network(network, loaded.recipe)
    student = train(loaded, chosen, on_step=lambda done, _loss: on_steps(done, recipe.steps))
    _write(student, chosen, recipe, output)
    return TrainedStudent(chosen.name, recipe.steps, output, _reported(archive, chosen, recipe))


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
        return "an archive holds no test images, and the report in it has no student of this network"
    return (
        f"an archive holds no test images; on those of the dataset, the report in it gives students of this network "
        f"{100 * reported.mean:.1f} ± {100 * reported.deviation:.1f} %"
    )
