"""An archive is trained on as its recipe says, and by nothing else."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import ddoq
from ddoq.archive import DistilledArchive, load_archive, write_archive
from ddoq.errors import ArchiveError, ConfigError, TeacherNeededError
from ddoq.events import ignore
from ddoq.images import fit_squares
from ddoq.network_config import NetworkConfig
from ddoq.package import package_all
from ddoq.plans import TrainingPlan
from ddoq.protocols import PROTOCOLS, Protocol
from ddoq.students import normalise
from ddoq.training import Student, training_set
from tests.finished import COUNTS, RECIPE, SIDE, finish

CPU = torch.device("cpu")
FASTER = replace(RECIPE.protocol.optimizer, learning_rate=0.02)
EVERY = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of ten painted images of three classes."""
    folder = tmp_path_factory.mktemp("archive")
    package_all([finish(folder)[0].contents()], folder / "package", ignore)
    return folder / "package" / "archive.zip"


@pytest.fixture(scope="module")
def archive(file: Path) -> DistilledArchive:
    return load_archive(file)


def with_recipe(archive: DistilledArchive, **changes: object) -> DistilledArchive:
    return replace(archive, recipe=replace(archive.recipe, **changes))  # type: ignore[arg-type]


def by_protocol(archive: DistilledArchive, **changes: object) -> DistilledArchive:
    return with_recipe(archive, protocol=replace(archive.recipe.protocol, **changes))  # type: ignore[arg-type]


def numbers(student: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in student.parameters()]


def are_equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(mine, its) for mine, its in zip(numbers(one), numbers(other), strict=True))


def linear() -> nn.Module:
    """A module of somebody's own."""
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3))
    nn.init.zeros_(layers[1].weight)
    return layers


def rewrite(file: Path, target: Path, member: str, change: object) -> Path:
    """Copy an archive, one of its members changed."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            data = source.read(info)
            copy.writestr(info, change(data) if info.filename == member else data)  # type: ignore[operator]
    return target


@EVERY
def test_every_protocol_comes_back_from_the_archive_as_it_was(
    protocol: Protocol, file: Path, archive: DistilledArchive, tmp_path: Path
) -> None:
    with zipfile.ZipFile(file) as source:
        members = {name: source.read(name) for name in source.namelist() if name != "manifest.json"}
    for place in ("first", "second"):
        recipe = replace(RECIPE, protocol=protocol) if place == "first" else load_archive(tmp_path / "first").recipe
        write_archive(tmp_path / place, members, archive.class_names, recipe)
    assert load_archive(tmp_path / "first").recipe == replace(RECIPE, protocol=protocol)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_student_is_trained_as_the_recipe_says(archive: DistilledArchive) -> None:
    told: list[int] = []
    student = ddoq.train(archive, device=CPU, on_step=lambda step, _loss: told.append(step))
    assert told == list(range(1, RECIPE.steps + 1))
    assert student.network.classifier.out_features == len(COUNTS)
    assert student.network.features[0].out_channels == 8
    assert not any(module.training for module in student.modules())


def test_a_file_and_what_was_loaded_from_it_give_the_same_student(file: Path, archive: DistilledArchive) -> None:
    assert are_equal(ddoq.train(file, device=CPU), ddoq.train(archive, device=CPU))
    assert are_equal(ddoq.train(str(file), device=CPU), ddoq.train(archive, device=CPU))


def test_each_seed_gives_another_student(archive: DistilledArchive) -> None:
    assert not are_equal(ddoq.train(archive, device=CPU), ddoq.train(archive, seed=1, device=CPU))


def test_the_number_of_cores_changes_no_bit_and_is_left_as_it_was(archive: DistilledArchive) -> None:
    before, students = torch.get_num_threads(), []
    for n_cores in (1, 2):
        torch.set_num_threads(n_cores)
        students.append(ddoq.train(archive, device=CPU))
        assert torch.get_num_threads() == n_cores
    torch.set_num_threads(before)
    assert are_equal(*students)


def test_a_part_of_the_recipe_that_changes_changes_the_student(archive: DistilledArchive) -> None:
    plain = ddoq.train(archive, device=CPU)
    others = [
        with_recipe(archive, mean=(0.4, 0.5, 0.5)),
        with_recipe(archive, deviation=(0.2, 0.3, 0.3)),
        with_recipe(archive, seed=1),
        by_protocol(archive, augment=replace(RECIPE.protocol.augment, flip=0.5)),
        by_protocol(archive, optimizer=replace(RECIPE.protocol.optimizer, learning_rate=0.001)),
        by_protocol(archive, batch_sizes=((1, 4),)),
        replace(archive, weights=torch.ones(sum(COUNTS))),
    ]
    assert not any(are_equal(plain, ddoq.train(other, device=CPU)) for other in others)


def test_images_larger_than_students_see_are_brought_to_their_side(archive: DistilledArchive) -> None:
    noise = torch.randint(256, (10, 3, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    large = replace(archive, images=noise)
    assert torch.equal(training_set(large).images, fit_squares(noise, SIDE))
    assert ddoq.train(large, device=CPU).resolution == SIDE


def test_students_learn_from_the_soft_labels_where_the_recipe_has_some(archive: DistilledArchive) -> None:
    logits = torch.full((10, 3), -9.0).half()
    logits[:, 2] = 9  # a teacher that sees the third class everywhere
    soft = by_protocol(archive, labels="fixed", loss="kl", temperature=2.0, steps=60, optimizer=FASTER)
    assert ddoq.train(replace(soft, soft_labels=logits), device=CPU).predict(archive.images).tolist() == [2] * 10


def test_another_network_may_be_named(archive: DistilledArchive) -> None:
    student = ddoq.train(by_protocol(archive, steps=2), "cifar-resnet-20", device=CPU)
    assert student.predict(archive.images).shape == (10,)
    narrow = ddoq.train(by_protocol(archive, steps=2), NetworkConfig("cifar-resnet-20", width=4), device=CPU)
    assert narrow.network.conv1.out_channels == 4


def test_a_network_of_the_recipe_is_named_without_its_width(archive: DistilledArchive) -> None:
    assert are_equal(ddoq.train(archive, "convnet-3", device=CPU), ddoq.train(archive, device=CPU))


def test_a_module_of_ones_own_is_trained_itself(archive: DistilledArchive) -> None:
    mine = linear()
    student = ddoq.train(by_protocol(archive, steps=300, optimizer=FASTER), mine, device=CPU)
    assert student.network is mine
    assert mine[1].weight.any()
    assert not mine.training
    right = student.predict(archive.images) == archive.labels
    assert right.float().mean() > 0.8


def test_the_bare_network_sees_what_students_of_the_evaluation_see(archive: DistilledArchive) -> None:
    student = ddoq.train(archive, device=CPU)
    plan = TrainingPlan(RECIPE.protocol, 10, 3, RECIPE.mean, RECIPE.deviation, 0, CPU)
    with torch.inference_mode():
        expected = student.network(normalise(archive.images, plan))
        assert torch.equal(student(archive.images), expected)
        assert torch.equal(student(archive.images / 255), expected)
        assert torch.equal(student.predict(archive.images), expected.argmax(1))


def test_a_student_refuses_images_of_another_side(archive: DistilledArchive) -> None:
    student = ddoq.train(by_protocol(archive, steps=1), device=CPU)
    with pytest.raises(ValueError, match=r"16 x 16 pixels, and the student was trained on 8 x 8.*fit_squares"):
        student.predict(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_an_unknown_network_is_refused_with_the_names_there_are(archive: DistilledArchive) -> None:
    with pytest.raises(ConfigError, match="no network 'convnet-99': use convnet-3"):
        ddoq.train(archive, "convnet-99", device=CPU)


def test_a_network_that_needs_larger_images_is_refused(archive: DistilledArchive) -> None:
    with pytest.raises(ConfigError, match="resnet-18 needs images of at least 16 pixels, not 8"):
        ddoq.train(archive, "resnet-18", device=CPU)


def test_a_module_for_other_classes_is_refused_before_it_is_trained(archive: DistilledArchive) -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 10))
    before = wide[1].weight.clone()
    with pytest.raises(ConfigError, match=r"to \(1, 10\), not to \(1, 3\)"):
        ddoq.train(archive, wide, device=CPU)
    assert torch.equal(wide[1].weight, before)


def test_a_module_that_answers_more_than_logits_is_refused(archive: DistilledArchive) -> None:
    class Named(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"logits": images.mean((2, 3))}

    with pytest.raises(ConfigError, match="answers a dict; wrap it"):
        ddoq.train(archive, Named(), device=CPU)


def test_a_recipe_that_asks_the_teacher_on_the_way_says_so(archive: DistilledArchive) -> None:
    with pytest.raises(TeacherNeededError, match="'stored' or 'fixed'"):
        ddoq.train(by_protocol(archive, labels="live", loss="kl", temperature=2.0), device=CPU)


def test_soft_labels_that_are_not_there_are_missed(archive: DistilledArchive) -> None:
    with pytest.raises(ArchiveError, match="fixed soft labels, and the archive has none"):
        ddoq.train(by_protocol(archive, labels="fixed", loss="kl", temperature=2.0), device=CPU)


@pytest.mark.parametrize("member", ["train/metadata.csv", "train/cat/0000.png", "config.json"])
def test_a_tampered_archive_is_not_trained_on(member: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=f"member '{member}' does not match its checksum"):
        ddoq.train(rewrite(file, tmp_path / "a.zip", member, lambda data: data + b" "))


def test_an_archive_of_an_older_format_is_refused_by_its_number(file: Path, tmp_path: Path) -> None:
    def make_old(data: bytes) -> bytes:
        manifest = json.loads(data)
        return json.dumps(manifest | {"format": 1, "recipe": {"protocol": "quick", "steps": 10}}).encode()

    with pytest.raises(ArchiveError, match="archive format 1; this version reads format 2"):
        load_archive(rewrite(file, tmp_path / "a.zip", "manifest.json", make_old))


def test_a_recipe_with_a_word_that_is_not_understood_is_refused(file: Path, tmp_path: Path) -> None:
    def add_word(data: bytes) -> bytes:
        manifest = json.loads(data)
        manifest["recipe"]["protocol"]["augment"]["mixup"] = True
        return json.dumps(manifest).encode()

    with pytest.raises(ArchiveError, match="mixup"):
        ddoq.train(rewrite(file, tmp_path / "a.zip", "manifest.json", add_word))


def test_a_listener_that_raises_ends_the_training(archive: DistilledArchive) -> None:
    def stop(step: int, _loss: Tensor) -> None:
        if step == 3:
            raise InterruptedError

    before = torch.get_num_threads()
    with pytest.raises(InterruptedError):
        ddoq.train(archive, device=CPU, on_step=stop)
    assert torch.get_num_threads() == before


def test_a_student_is_saved_and_loaded_like_any_module(archive: DistilledArchive, tmp_path: Path) -> None:
    student = ddoq.train(archive, device=CPU)
    torch.save(student.state_dict(), tmp_path / "student.pt")
    other = ddoq.train(by_protocol(archive, steps=1), seed=5, device=CPU)
    other.load_state_dict(torch.load(tmp_path / "student.pt", weights_only=True))
    assert isinstance(other, Student)
    assert torch.equal(other.predict(archive.images), student.predict(archive.images))


def test_importing_ddoq_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, ddoq; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_ddoq_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ddoq' has no attribute 'trian'"):
        _ = ddoq.trian  # type: ignore[attr-defined]
