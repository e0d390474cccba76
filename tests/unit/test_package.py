"""What is packed is what was made, also where classes have different numbers of images."""

import csv
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from safetensors.torch import load

from ddoq.archive import Member, WeightedImages, load_archive, write_archive
from ddoq.environments import read_provenance
from ddoq.events import Event, Stage, ignore
from ddoq.image_index import ImageIndex
from ddoq.manifests import is_complete, read_manifest
from ddoq.package import PackageManifest, package_all
from ddoq.shards import write_shard
from tests.finished import CLASSES, COUNTS, PROVENANCE, Finished, colour, finish

PLOTS = {
    "accuracy-by-class.svg",
    "accuracy.svg",
    "distortion.svg",
    "latent-map.svg",
    "weights.svg",
}
SHOWN = {"overview.png", "provenance.json", "report.html", "report.json"} | PLOTS
HOSTILE = "<script>alert(1)</script>|x\n# y"


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("ragged"))[0]


@pytest.fixture(scope="module")
def packed(ragged: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    package_all([ragged.contents()], folder, ignore)
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two budgets, packed side by side."""
    folder = tmp_path_factory.mktemp("sweep")
    every = finish(folder, images_per_class=[3, 1])
    package_all([one.contents() for one in every], folder / "package", ignore)
    return folder / "package"


def member(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as file:
        return file.read(name)


def rows_of(archive: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(member(archive, "train/metadata.csv").decode())))


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_an_archive_of_unequal_classes_comes_back_with_the_right_labels(packed: Path) -> None:
    archive = load_archive(packed / "archive.zip")
    painted = [colour(label, codeword) for label, n in enumerate(COUNTS) for codeword in range(n)]
    assert archive.labels.tolist() == [0] * 2 + [1] * 5 + [2] * 3
    assert archive.images[:, 0, 0, 0].tolist() == painted
    assert archive.class_names == CLASSES
    assert [int(label) for _, label, _ in WeightedImages(archive)] == archive.labels.tolist()


def test_loaded_weights_have_mean_one_in_each_class_and_follow_its_counts(packed: Path, ragged: Finished) -> None:
    archive = load_archive(packed / "archive.zip")
    for label in range(3):
        roots = ragged.books.of_class(label).counts.sqrt()
        torch.testing.assert_close(archive.weights[archive.labels == label], roots / roots.mean(), rtol=1e-5, atol=0)


def test_the_loaded_config_is_the_one_that_was_run(packed: Path, ragged: Finished) -> None:
    assert load_archive(packed / "archive.zip").config == ragged.config


def test_the_metadata_has_a_row_an_image(packed: Path) -> None:
    rows = rows_of(packed / "archive.zip")
    with zipfile.ZipFile(packed / "archive.zip") as file:
        images = {
            name.removeprefix("train/") for name in file.namelist() if name.startswith("train/") and "png" in name
        }
    assert len(rows) == 10
    assert {row["file_name"] for row in rows} == images
    for name in CLASSES:
        assert sum(int(row["count"]) for row in rows if row["class"] == name) == 12


def test_the_codebook_lies_in_the_order_of_the_metadata(packed: Path, ragged: Finished) -> None:
    book = load(member(packed / "archive.zip", "codebook.safetensors"))
    rows = rows_of(packed / "archive.zip")
    assert book["labels"].tolist() == [int(row["label"]) for row in rows]
    assert book["counts"].tolist() == [int(row["count"]) for row in rows]
    assert torch.equal(book["centroids"][2:7], ragged.books.of_class(1).centroids)


def test_each_class_has_a_contact_sheet_of_its_own_images(packed: Path) -> None:
    sheets = [member(packed / "archive.zip", f"contact-sheets/{name}.png") for name in CLASSES]
    two, five, three = (Image.open(io.BytesIO(sheet)).size for sheet in sheets)
    assert two[0] == three[0] < five[0]  # two, three and two columns; see contact_sheet
    assert two[1] < three[1] == five[1]


def test_the_overview_is_white_where_a_class_has_fewer_images(packed: Path) -> None:
    pixels = np.array(Image.open(packed / "overview.png"))
    left, top = pixels.shape[1] // 5, pixels.shape[0] // 3
    for row, n in enumerate(COUNTS):
        tiles = [pixels[row * top + 20 : row * top + 50, i * left + 20 : i * left + 50] for i in range(5)]
        assert [int(tile[0, 0, 0]) for tile in tiles[:n]] == [colour(row, codeword) for codeword in range(n)]
        assert all((tile == 255).all() for tile in tiles[n:])


def test_one_budget_is_packed_under_plain_names(packed: Path) -> None:
    manifest = read_manifest(packed, PackageManifest)
    assert manifest.files[0].name == "archive.zip"
    assert {file.name for file in manifest.files} == SHOWN | {"archive.zip", "images.json"}


def test_where_nothing_was_evaluated_there_is_no_plot_of_it_and_the_card_says_so(
    ragged: Finished, tmp_path: Path
) -> None:
    contents = ragged.contents()
    package_all([replace(contents, report=replace(contents.report, accuracy={}, by_class={}))], tmp_path, ignore)
    assert {file.name for file in read_manifest(tmp_path, PackageManifest).files} == (
        SHOWN - {"accuracy.svg", "accuracy-by-class.svg"} | {"archive.zip", "images.json"}
    )
    card = member(tmp_path / "archive.zip", "README.md").decode()
    assert "Nothing was compared: evaluation is none" in card
    assert "A recipe that fits, 10 steps of 8 images" in card


def test_several_budgets_are_packed_side_by_side_under_their_names(sweep: Path) -> None:
    names = [file.name for file in read_manifest(sweep, PackageManifest).files]
    assert set(names) == {
        f"{budget}-{name}" for budget in ("ipc-3", "ipc-1") for name in SHOWN | {"archive.zip", "images.json"}
    }
    assert [name for name in names if name.endswith(".zip")] == ["ipc-3-archive.zip", "ipc-1-archive.zip"]
    assert [len(load_archive(sweep / f"{budget}-archive.zip").labels) for budget in ("ipc-3", "ipc-1")] == [9, 3]


def test_names_within_an_archive_are_the_same_for_one_budget_and_for_several(packed: Path, sweep: Path) -> None:
    with zipfile.ZipFile(packed / "archive.zip") as one, zipfile.ZipFile(sweep / "ipc-3-archive.zip") as other:
        plain = {name for name in one.namelist() if not name.startswith("train/")}
        assert plain == {name for name in other.namelist() if not name.startswith("train/")}


def test_the_archive_says_what_to_cite(packed: Path) -> None:
    bib = member(packed / "archive.zip", "citations.bib").decode()
    assert {"@misc{tan2026ddoq,", "@misc{naeem2020reliable,", "@misc{flamary2021pot,"} <= set(bib.splitlines())
    assert (
        "Pushforward Optimal Quantization. ICLR, 2026. arXiv:2501.07681. (method, weights)"
        in member(packed / "archive.zip", "README.md").decode()
    )


def test_the_map_in_the_archive_is_that_of_the_report(packed: Path, ragged: Finished) -> None:
    told = json.loads(member(packed / "archive.zip", "report.json"))["latent_map"]
    drawn = member(packed / "archive.zip", "latent-map.svg").decode()
    assert list(told["classes"]) == list(CLASSES)
    assert drawn.count('class="real"') == sum(len(one["latents"]) for one in told["classes"].values()) == 36


def test_what_computed_the_stages_is_told_in_the_archive_and_beside_it(packed: Path) -> None:
    assert read_provenance(packed) == PROVENANCE
    assert member(packed / "archive.zip", "provenance.json") == (packed / "provenance.json").read_bytes()
    assert "| `provenance.json` |" in member(packed / "archive.zip", "README.md").decode()


def test_an_archive_that_does_not_tell_what_computed_it_is_read_as_before(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed / "archive.zip") as file:
        members: dict[str, Member] = {name: file.read(name) for name in file.namelist()}
    del members["manifest.json"], members["provenance.json"]
    loaded = load_archive(packed / "archive.zip")
    write_archive(tmp_path / "old.zip", members, loaded.class_names, loaded.recipe)
    old = load_archive(tmp_path / "old.zip")
    assert torch.equal(old.images, loaded.images)
    assert (old.config, old.recipe) == (loaded.config, loaded.recipe)
    write_shard(tmp_path / "old.zip", tmp_path / "old.tar")
    write_shard(packed / "archive.zip", tmp_path / "new.tar")
    assert sha256(tmp_path / "old.tar") == sha256(tmp_path / "new.tar")


def test_what_a_stage_took_is_not_in_the_archive(packed: Path) -> None:
    with zipfile.ZipFile(packed / "archive.zip") as file:
        assert "usage.json" not in file.namelist()


def test_the_manifest_has_the_size_and_checksum_of_every_file(sweep: Path) -> None:
    for file in read_manifest(sweep, PackageManifest).files:
        assert (sweep / file.name).stat().st_size == file.size_bytes
        assert sha256(sweep / file.name) == file.sha256


def test_the_index_leads_to_the_bytes_of_every_image(packed: Path, ragged: Finished) -> None:
    index = TypeAdapter(ImageIndex).validate_json((packed / "images.json").read_bytes())
    whole = (packed / index.archive).read_bytes()
    found = [
        (each.name, [whole[start : start + size] for start, size in zip(each.offsets, each.sizes, strict=True)])
        for each in index.classes
    ]
    files = [
        [ragged.images.file(label, codeword).read_bytes() for codeword in range(n)] for label, n in enumerate(COUNTS)
    ]
    assert found == list(zip(CLASSES, files, strict=True))


def test_the_index_has_the_shares_heaviest_first(packed: Path, ragged: Finished) -> None:
    index = TypeAdapter(ImageIndex).validate_json((packed / "images.json").read_bytes())
    assert [each.shares for each in index.classes] == list(ragged.contents().report.weights.values())
    assert all(list(each.shares) == sorted(each.shares, reverse=True) for each in index.classes)


def test_the_index_of_a_budget_names_its_archive(sweep: Path) -> None:
    names = {
        TypeAdapter(ImageIndex).validate_json((sweep / f"ipc-{n}-images.json").read_bytes()).archive for n in (3, 1)
    }
    assert names == {"ipc-3-archive.zip", "ipc-1-archive.zip"}


def test_progress_is_told_budget_by_budget(tmp_path: Path) -> None:
    every = [one.contents() for one in finish(tmp_path, images_per_class=[1, 2])]
    events: list[Event] = []
    package_all(every, tmp_path / "package", events.append)
    assert events == [Event(Stage.PACKAGE, 1, 2), Event(Stage.PACKAGE, 2, 2)]


def test_a_listener_that_raises_leaves_the_stage_incomplete(ragged: Finished, tmp_path: Path) -> None:
    def stop(_event: Event) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        package_all([ragged.contents()], tmp_path, stop)
    assert not is_complete(tmp_path)


def test_the_same_contents_give_the_same_bytes(packed: Path, ragged: Finished, tmp_path: Path) -> None:
    package_all([ragged.contents()], tmp_path, ignore)
    assert sha256(tmp_path / "archive.zip") == sha256(packed / "archive.zip")


def test_card_and_report_say_which_budget_they_are_of(sweep: Path) -> None:
    for n in (3, 1):
        archive, words = sweep / f"ipc-{n}-archive.zip", f"{n}; budget ipc-{n}, one of 2 of this distillation"
        assert f"| images per class | {words} |" in member(archive, "README.md").decode()
        assert words in member(archive, "report.html").decode()
        assert json.loads(member(archive, "report.json"))["budget"] == f"ipc-{n}"


def test_the_card_loads_the_archive_by_the_name_it_is_downloaded_as(packed: Path, sweep: Path) -> None:
    assert 'load_archive("archive.zip")' in member(packed / "archive.zip", "README.md").decode()
    assert 'load_archive("ipc-1-archive.zip")' in member(sweep / "ipc-1-archive.zip", "README.md").decode()


def test_the_card_tells_sides_and_parts(packed: Path) -> None:
    card = member(packed / "archive.zip", "README.md").decode()
    assert "2 to 5 images of 8 x 8 pixels for each of 3 classes" in card
    assert "| sides in pixels | encoder 8, decoder 8, archive 8, students 8 |" in card
    assert "| weights | sqrt: " in card


def test_real_images_are_not_called_synthetic(packed: Path, tmp_path: Path) -> None:
    (chosen,) = finish(tmp_path, method="medoid")
    package_all([chosen.contents()], tmp_path / "package", ignore)
    assert "- synthetic" not in member(tmp_path / "package" / "archive.zip", "README.md").decode()
    assert "- synthetic" in member(packed / "archive.zip", "README.md").decode()


def test_foreign_text_cannot_break_the_tables_of_the_card(ragged: Finished, tmp_path: Path) -> None:
    prior = {"kind": "vae", "model": HOSTILE, "resolution": 16}
    config = type(ragged.config).model_validate({**ragged.config.model_dump(), "prior": prior})
    package_all([replace(ragged, config=config).contents()], tmp_path, ignore)
    card = member(tmp_path / "archive.zip", "README.md").decode()
    (line,) = (line for line in card.splitlines() if line.startswith("| prior"))
    assert "<script>" not in card
    assert line == "| prior | vae: &lt;script&gt;alert(1)&lt;/script&gt;\\|x # y, posterior mean |"
