"""The contact sheet of the Python client, of archives that the package stage writes, and of others."""

import io
import re
import zipfile
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image

from ddoq.events import ignore
from ddoq.package import package_all
from ddoq_client import ArchiveError, read_sheet
from ddoq_client.sheet import METADATA, MOST_CLASSES, MOST_IMAGE_BYTES, PNG
from tests.finished import CLASSES, COUNTS, colour, finish

HEADER = "file_name,label,class,weight,count,codeword,nearest\n"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet")
    package_all([finish(folder)[0].contents()], folder / "package", ignore)
    return folder / "package" / "archive.zip"


def write(path: Path, table: str, **images: bytes) -> Path:
    """Write an archive with a table and images by their name, without the ending."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, HEADER + table)
        for name, content in images.items():
            archive.writestr(f"train/a/{name}.png", content)
    return path


def greys(pngs: list[bytes]) -> list[int]:
    """Tell of images in one grey which it is."""
    return [Image.open(io.BytesIO(png)).getpixel((0, 0))[0] for png in pngs]  # type: ignore[index]


def test_every_class_shows_its_images_the_heaviest_first(packed: Path) -> None:
    sheet = read_sheet(packed)
    assert [(shown.name, shown.n_images) for shown in sheet.classes] == list(zip(CLASSES, COUNTS, strict=True))
    for label, shown in enumerate(sheet.classes):
        weights = [image.weight for image in shown.images]
        assert weights == sorted(weights, reverse=True)
        painted = {colour(label, codeword) for codeword in range(COUNTS[label])}
        assert set(greys([image.png for image in shown.images])) == painted


def test_as_text_it_names_the_classes_and_not_the_bytes_of_their_images(packed: Path) -> None:
    told = repr(read_sheet(packed))
    assert all(f"name={name!r}, n_images={n}" in told for name, n in zip(CLASSES, COUNTS, strict=True))
    assert "PNG" not in told


def test_the_page_holds_the_images_themselves_with_their_weights(packed: Path) -> None:
    sheet = read_sheet(packed)
    html = sheet._repr_html_()
    shown = [b64decode(found) for found in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]
    assert shown == [image.png for one in sheet.classes for image in one.images]
    assert html.count("src=") == sum(COUNTS)
    assert all(f"<figcaption>{image.weight:.2f}<" in html for one in sheet.classes for image in one.images)
    assert not re.search("https?:|<script|<link", html)


def test_the_picture_is_the_overview_of_the_archive(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert read_sheet(packed)._repr_png_() == archive.read("overview.png")


def test_classes_are_in_the_order_of_their_labels_and_many_are_cut_short(tmp_path: Path) -> None:
    n = MOST_CLASSES + 5
    rows = "".join(f"a/x.png,{label},class {label},1,3,0,k\n" for label in reversed(range(n)))
    sheet = read_sheet(write(tmp_path / "many.zip", rows, x=PNG))
    assert [shown.name for shown in sheet.classes] == [f"class {label}" for label in range(MOST_CLASSES)]
    assert "and 5 more classes" in sheet._repr_html_()
    assert sheet._repr_png_() is None


def test_the_name_of_a_class_is_only_text(tmp_path: Path) -> None:
    name = '"<script>alert(1)</script>"'
    html = read_sheet(write(tmp_path / "a.zip", f"a/x.png,0,{name},1,3,0,k\n", x=PNG))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)") == 2


@pytest.mark.parametrize(
    ("table", "image"),
    [
        ("a/y.png,0,cat,1,3,0,k\n", PNG),
        ("a/x.png,0,cat,heavy,3,0,k\n", PNG),
        ("a/x.png,none,cat,1,3,0,k\n", PNG),
        ("a/x.png\n", PNG),
        ("a/x.png,0,cat,1,3,0,k\n", b"<svg>"),
        ("a/x.png,0,cat,1,3,0,k\n", PNG + bytes(MOST_IMAGE_BYTES)),
    ],
    ids=["no such image", "no weight", "no label", "no columns", "no PNG", "too large"],
)
def test_an_archive_that_is_none_is_refused(tmp_path: Path, table: str, image: bytes) -> None:
    with pytest.raises(ArchiveError, match="is no undamaged archive"):
        read_sheet(write(tmp_path / "a.zip", table, x=image))


@pytest.mark.parametrize("cut", [0, 10, 0.5])
def test_a_damaged_archive_is_refused(packed: Path, tmp_path: Path, cut: float) -> None:
    content = packed.read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: cut if isinstance(cut, int) else round(cut * len(content))])
    with pytest.raises(ArchiveError):
        read_sheet(tmp_path / "a.zip")
