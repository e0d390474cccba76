import pytest

from ddoq.class_folders import sort_folders
from ddoq.dataset_config import DatasetConfig
from ddoq.errors import DamagedArchiveError, EmptyClassError, NoClassesError, OneClassError, UnknownClassError
from ddoq.layouts import lay_out, list_images
from ddoq.left_out import LeftOut
from ddoq.sources import LINK, Entry, Member


def laid_out(names, class_names=None, every=5, validation_every=None, **fields):
    left_out, config = LeftOut(), DatasetConfig(uri="file:///x", class_names=class_names, **fields)
    listing = list_images([Entry(Member(name, 1)) for name in names], left_out)
    labelled = sort_folders(listing, config, left_out)
    return lay_out(labelled, config, every, left_out, validation_every), left_out.sentences()


def names_in(layout, split):
    return [
        [member.name.removeprefix(layout.prefixes[split]) for member in members] for members in layout.members[split]
    ]


def files(split, classes, n=3):
    return [f"{split}{name}/{i}.png" for name in classes for i in range(n)]


def test_class_folders_below_splits_are_classes_of_splits():
    layout, left_out = laid_out(files("train/", "ba") + files("test/", "ab", 1))
    assert layout.class_names == ("a", "b")
    assert names_in(layout, "train") == [["a/0.png", "a/1.png", "a/2.png"], ["b/0.png", "b/1.png", "b/2.png"]]
    assert names_in(layout, "test") == [["a/0.png"], ["b/0.png"]]
    assert (layout.held_out, left_out) == (False, ())


def test_without_a_test_split_every_nth_image_of_a_class_is_held_out():
    layout, _ = laid_out(files("", "ab", 7), every=3)
    assert names_in(layout, "test")[0] == ["a/2.png", "a/5.png"]
    assert names_in(layout, "train")[0] == ["a/0.png", "a/1.png", "a/3.png", "a/4.png", "a/6.png"]
    assert layout.held_out


def test_a_train_folder_alone_is_held_out_from():
    layout, _ = laid_out(files("train/", "ab", 5))
    assert names_in(layout, "test") == [["a/4.png"], ["b/4.png"]]


@pytest.mark.parametrize("split", ["train/", "data/train/"])
def test_validation_is_every_nth_image_for_training(split):
    top = split.removesuffix("train/")
    layout, _ = laid_out(files(split, "ab", 7) + files(f"{top}test/", "ab", 2), validation_every=3)
    assert names_in(layout, "validation") == [["a/2.png", "a/5.png"], ["b/2.png", "b/5.png"]]
    assert names_in(layout, "train")[0] == ["a/0.png", "a/1.png", "a/3.png", "a/4.png", "a/6.png"]
    assert names_in(layout, "test")[0] == ["a/0.png", "a/1.png"]


def test_validation_leaves_the_test_as_it_would_be_without():
    names = files("", "ab", 9)
    plain, _ = laid_out(names, every=3)
    layout, _ = laid_out(names, every=3, validation_every=2)
    assert names_in(layout, "test") == names_in(plain, "test")
    assert names_in(layout, "validation")[0] == ["a/1.png", "a/4.png", "a/7.png"]
    assert sorted(names_in(layout, "train")[0] + names_in(layout, "validation")[0]) == names_in(plain, "train")[0]
    assert "validation" not in plain.members


def test_a_small_class_gives_one_image_for_validation():
    layout, _ = laid_out(files("train/", "ab", 4) + files("test/", "ab"), validation_every=10)
    assert names_in(layout, "validation") == [["a/3.png"], ["b/3.png"]]
    assert names_in(layout, "train")[0] == ["a/0.png", "a/1.png", "a/2.png"]


def test_a_class_that_validation_would_leave_nothing_is_refused_by_name():
    names = files("train/", "a", 4) + files("train/", "b", 1) + files("test/", "ab")
    with pytest.raises(EmptyClassError, match="class 'b' has 1 training image, which validation would take"):
        laid_out(names, validation_every=10)


@pytest.mark.parametrize("top", ["flowers/", "my data/"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_one_folder_around_everything_is_looked_through(top, split):
    layout, left_out = laid_out(files(top + split, "ab", 5))
    assert layout.class_names == ("a", "b")
    assert names_in(layout, "test")[0] == ["a/4.png"]
    assert left_out == ()


def test_the_order_of_the_listing_does_not_matter():
    names = files("train/", "ab", 12) + files("test/", "ab")
    assert laid_out(names)[0].members == laid_out(names[::-1])[0].members


def test_classes_are_ordered_by_code_point():
    assert laid_out(files("", ["10", "9", "é", "a", "B"], 5))[0].class_names == ("10", "9", "B", "a", "é")


def test_classes_asked_for_come_in_the_order_asked_for_and_the_others_are_named():
    layout, left_out = laid_out(files("", "abc", 5), ("c", "a"))
    assert layout.class_names == ("c", "a")
    assert names_in(layout, "test") == [["c/4.png"], ["a/4.png"]]
    assert left_out == ("5 images of classes that class_names leaves out (such as 'b')",)


def test_images_in_folders_below_a_class_are_of_the_class():
    layout, _ = laid_out([*files("train/", "ab"), "train/a/deep/er/x.png", *files("test/", "ab")])
    assert names_in(layout, "train")[0][-1] == "a/deep/er/x.png"


def test_suffixes_are_known_in_capitals():
    assert laid_out([f"{name}/{i}.JPEG" for name in "ab" for i in range(5)])[0].class_names == ("a", "b")


def test_a_class_may_be_called_test_when_there_are_no_splits():
    assert laid_out(files("", ["test", "train"], 5))[0].class_names == ("test", "train")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("train/a/notes.txt", "files that are no images by their names"),
        ("train/x.png", "images in no class folder"),
        ("x.png", "images in no class folder"),
        ("val/a/x.png", "images in 'val' beside train and test"),
        ("../a/x.png", "files whose names lead out of the dataset or are not plain text"),
        ("train/a/../../../x.png", "files whose names lead out of the dataset or are not plain text"),
        ("/train/a/x.png", "files whose names lead out of the dataset or are not plain text"),
        ("train\\a\\x.png", "files whose names lead out of the dataset or are not plain text"),
        ("train/a/\x1b[2Jx.png", "files whose names lead out of the dataset or are not plain text"),
        ("train/a/\udcff.png", "files whose names lead out of the dataset or are not plain text"),
    ],
)
def test_what_is_left_out_is_said_and_does_no_harm(name, reason):
    names = files("train/", "ab") + files("test/", "ab")
    layout, left_out = laid_out([*names, name])
    assert left_out == (f"1 {reason} (such as {name!a})",)
    assert layout == laid_out(names)[0]


@pytest.mark.parametrize("name", ["__MACOSX/train/a/._x.png", "train/a/.hidden.png", ".git/a/x.png"])
def test_what_systems_hide_is_passed_over_in_silence(name):
    names = files("train/", "ab") + files("test/", "ab")
    assert laid_out([*names, name]) == laid_out(names)


def test_ten_thousand_refusals_are_one_sentence():
    left_out = LeftOut()
    for i in range(10_000):
        left_out.add(LINK, str(i))
    assert left_out.sentences() == ("10000 links that are not followed (such as '0')",)


def test_two_files_of_one_name_are_refused():
    with pytest.raises(DamagedArchiveError, match=r"two files 'a/x\.png'"):
        laid_out(["a/x.png", "b/x.png", "a/x.png"])


@pytest.mark.parametrize("names", [[], ["x.png", "y.png"], ["a/x.txt", "b/y.txt"]])
def test_without_class_folders_the_layouts_that_are_read_are_named(names):
    with pytest.raises(NoClassesError, match="send train/<class>/<file> or <class>/<file>"):
        laid_out(names)


def test_without_class_folders_what_was_seen_is_named():
    with pytest.raises(NoClassesError, match=r"2 files that are no images by their names \(such as 'a/x.txt'\)"):
        laid_out(["a/x.txt", "b/y.txt"])


def test_a_test_folder_without_a_train_folder_is_refused():
    with pytest.raises(NoClassesError, match="no train folder"):
        laid_out(files("test/", "ab"))


def test_a_single_class_is_refused():
    with pytest.raises(OneClassError, match="only one class, 'a'"):
        laid_out(files("train/", "a", 5))


def test_a_class_asked_for_that_is_not_there_is_refused_and_those_there_are_named():
    with pytest.raises(UnknownClassError, match="no class 'cat'; the classes are 'a', 'b'"):
        laid_out(files("", "ab"), ("a", "cat"))


def test_a_class_with_test_images_alone_is_refused():
    with pytest.raises(EmptyClassError, match="class 'c' has no training images"):
        laid_out(files("train/", "ab") + files("test/", "abc"))


def test_classes_without_any_test_image_are_refused():
    with pytest.raises(EmptyClassError, match="test split"):
        laid_out(files("train/", "abc") + files("test/", "c"), ("a", "b"))


def test_too_few_images_to_hold_one_out_are_refused():
    with pytest.raises(EmptyClassError, match="5 images to a class"):
        laid_out(files("", "ab", 4), every=5)


@pytest.mark.parametrize(
    "change", [Entry(Member("a/x.png", 2)), Entry(Member("a/y.png", 1)), Entry(Member("a/x.png", 1), "tag")]
)
def test_the_fingerprint_changes_with_name_size_and_tag(change):
    before = list_images([Entry(Member("a/x.png", 1))], LeftOut()).fingerprint
    assert list_images([change], LeftOut()).fingerprint != before
