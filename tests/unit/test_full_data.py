"""Students of full data are trained once for the same data and recipe, and by the same steps as all others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.contender_names import DISTILLED, FULL_DATA
from ddoq.contenders import stream_test
from ddoq.environments import environments_of
from ddoq.evaluate import plan_for
from ddoq.events import Event, OnEvent, ignore
from ddoq.full_data import FullData, full_data_key, read_full_data, train_on_full_data
from ddoq.full_evaluation import with_tuning
from ddoq.here import environment_here
from ddoq.image_rules import BadImage
from ddoq.plans import TrainingPlan
from ddoq.trained import Trained, TrainedManifest
from ddoq.tuning import Trials
from ddoq.types import Scores, TrainingSet
from tests.finished import Finished, finish

STUDENTS = {"seeds": 2, "steps": 6, "width": 8, "batch_size": 8, "networks": ["convnet-3", "cifar-resnet-20"]}
NETWORKS = ("convnet-3", "cifar-resnet-20")


@dataclass(frozen=True)
class Place:
    """A finished distillation, and where its full data and the students of it are."""

    one: Finished
    full: FullData
    plan: TrainingPlan
    folder: Path

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        return stream_test(self.one.config, self.one.dataset, [], "validation")

    def train(self, name: str, on_event: OnEvent = ignore) -> tuple[dict[str, list[bytes]], Trials]:
        """Train into a folder of that name; answer the files of the students."""
        folder = self.folder / name
        folder.mkdir()
        trials = train_on_full_data(self.full, self.validation(), self.plan, folder, on_event)
        files = {network: [file.read_bytes() for file in sorted(folder.glob(f"{network}.*"))] for network in NETWORKS}
        assert environments_of(folder) == (environment_here(),)
        assert len(list(folder.iterdir())) == sum(map(len, files.values())) + 1
        return files, trials


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("full"), evaluation="full", students=STUDENTS)[0]


@pytest.fixture
def place(finished: Finished, tmp_path: Path) -> Place:
    return place_of(finished, tmp_path)


def place_of(one: Finished, folder: Path, **changes: object) -> Place:
    config = DistillConfig.model_validate({**one.config.model_dump(), **changes})
    plan = plan_for(config, one.books.budget, one.latents.manifest)
    full = FullData(config, one.dataset, one.latents, FolderCache(folder / "cache"))
    return Place(replace(one, config=config), full, plan, folder)


def test_a_second_call_trains_nothing_and_gives_the_same_students(place: Place) -> None:
    first_events: list[Event] = []
    second_events: list[Event] = []
    first = place.train("first", first_events.append)
    second = place.train("second", second_events.append)
    n_steps = (3 + 2) * 2 * 6  # rates and seeds, networks, steps
    assert [(event.done, event.total) for event in second_events] == [(n_steps, n_steps)]
    assert len(first_events) > 1
    assert {event.total for event in first_events} == {n_steps}
    assert first == second


def test_progress_never_goes_back(place: Place) -> None:
    events: list[Event] = []
    place.train("once", events.append)
    assert [event.done for event in events] == sorted(event.done for event in events)


def test_there_is_a_student_a_seed_of_each_network(place: Place) -> None:
    students, trials = place.train("once")
    assert {network: len(set(each)) for network, each in students.items()} == dict.fromkeys(NETWORKS, 2)
    assert {network: len(each) for network, each in trials.items()} == dict.fromkeys(NETWORKS, 3)


def read_all(place: Place) -> TrainingSet:
    return read_full_data(place.full, place.full.n_drawn(place.plan), lambda: None)


def test_all_training_images_are_read_and_those_of_validation_are_not(place: Place) -> None:
    data = read_all(place)
    assert data.labels.bincount().tolist() == [11, 11, 11]
    held_out = torch.cat([images for images, _ in place.validation()])
    assert len(held_out) == 3
    for image in held_out:
        assert not any(torch.equal(image, other) for other in data.images)


def test_no_more_images_are_read_than_students_see(finished: Finished, tmp_path: Path) -> None:
    short = place_of(finished, tmp_path, students={**STUDENTS, "steps": 2, "batch_size": 5})
    data = read_all(short)
    assert len(data.labels) == 10
    assert len(data.images.unique(dim=0)) == 10
    assert len(data.labels.unique()) > 1


def trained_with(told: TrainedManifest) -> dict[str, Trained]:
    """What is known of the distilled set and of full data."""
    tried = replace(told, trials=dict.fromkeys(NETWORKS, (0.5, 0.6, 0.4)))
    return {name: Trained(Path(), replace(tried, contender=name)) for name in (DISTILLED, FULL_DATA)}


def test_no_more_images_are_read_than_memory_holds_and_that_is_remarked_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddoq.full_data.MAX_BYTES", 20 * 3 * 8 * 8)
    assert len(read_all(place).labels) == 20
    scores = with_tuning(Scores({}, {}), trained_with(TrainedManifest("by-class", "")), place.full, place.plan)
    assert "would see 33 training images; as many as are held in memory were drawn at random: 20." in scores.remarks[0]
    assert scores.figures["full_data.images"] == 20


def test_of_data_that_memory_holds_nothing_is_remarked(place: Place) -> None:
    scores = with_tuning(Scores({}, {}), trained_with(TrainedManifest("by-class", "")), place.full, place.plan)
    assert scores.remarks == ()
    assert scores.tuning is not None
    assert scores.tuning.n_images == scores.figures["validation_images"] == 3
    assert list(scores.tuning.rates) == list(NETWORKS)
    assert list(scores.tuning.rates["convnet-3"]) == [DISTILLED, FULL_DATA]


def test_validation_images_that_do_not_decode_are_told(place: Place) -> None:
    told = TrainedManifest("by-class", "", n_bad=1, first_bad=BadImage("cat/009.png", "cut off"))
    scores = with_tuning(Scores({}, {}), trained_with(told), place.full, place.plan)
    assert scores.remarks == ("1 validation images do not decode and were skipped, such as cat/009.png (cut off).",)
    assert (scores.figures["validation_images"], scores.n_bad) == (2, 1)


def test_full_data_has_the_labels_of_the_classes_whatever_the_others_have(place: Place) -> None:
    protocol = replace(place.plan.protocol, labels="fixed", loss="kl", temperature=20.0)
    soft = replace(place, plan=replace(place.plan, protocol=protocol))
    assert (
        place.train("hard")[0]
        == replace(soft, full=replace(soft.full, cache=FolderCache(soft.folder / "other"))).train("soft")[0]
    )


def key(place: Place) -> str:
    return full_data_key(place.full, place.plan)


@pytest.mark.parametrize(
    "changes",
    [
        {"students": {**STUDENTS, "steps": 7}},
        {"students": {**STUDENTS, "batch_size": 9}},
        {"students": {**STUDENTS, "seeds": 3}},
        {"students": {**STUDENTS, "width": 16}},
        {"students": {**STUDENTS, "networks": ["convnet-3"]}},
        {"students": {**STUDENTS, "protocol": "small-hard"}},
        {"seed": 1},
        {"prior": {"kind": "pixels", "resolution": 16}},  # students see larger images
        {"evaluation": "quick"},  # nothing is held out
    ],
)
def test_the_key_changes_with_everything_that_the_students_depend_on(
    finished: Finished, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert key(place_of(finished, tmp_path, **changes)) != key(place_of(finished, tmp_path))


@pytest.mark.parametrize("changes", [{"method": "random"}, {"weights": "share"}, {"quantizer": {"effort": "best"}}])
def test_the_key_is_the_same_for_every_method(finished: Finished, tmp_path: Path, changes: dict[str, object]) -> None:
    assert key(place_of(finished, tmp_path, **changes)) == key(place_of(finished, tmp_path))


def test_the_size_of_the_distilled_set_counts_only_where_it_sets_the_schedule(place: Place) -> None:
    larger = replace(place, plan=replace(place.plan, n_images=100))
    assert key(larger) == key(place)
    by_epoch = replace(place.plan.protocol, optimizer=replace(place.plan.protocol.optimizer, moves_each="epoch"))
    assert key(replace(larger, plan=replace(larger.plan, protocol=by_epoch))) != key(
        replace(place, plan=replace(place.plan, protocol=by_epoch))
    )
