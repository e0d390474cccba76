import pytest

from ddoq.dataset_config import SplitsConfig
from ddoq.errors import UnknownSplitError
from ddoq.splits import choose_words, known_words, word_of_path


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/validation-00000-of-00001.parquet", "validation"),
        ("default/test/0000.parquet", "test"),
        ("default/partial-train/0000.parquet", "train"),
        ("test/train.parquet", "train"),  # the file says more than the folder
        ("trainset.parquet", "train"),
        ("val_3.tar", "val"),
        ("value.parquet", None),
        ("training.tar", "training"),
        ("development/0.tar", None),
        ("0.tar", None),
    ],
)
def test_the_split_of_a_file_is_how_its_name_begins_or_a_folder_is_called(path, word):
    assert word_of_path(path, known_words(None)) == word


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ({"train", "test"}, {"train": "train", "test": "test"}),
        ({"training", "testing", "val"}, {"train": "training", "test": "testing"}),
        ({"train", "dev"}, {"train": "train", "test": "dev"}),
        ({"train", "training"}, {"train": "train"}),
        ({"validation"}, {}),
        ({"cat", "dog"}, {}),
    ],
)
def test_splits_are_known_by_the_usual_words(present, words):
    assert choose_words(None, present).words == words


def test_words_of_the_config_take_the_place_of_the_usual_ones():
    chosen = choose_words(SplitsConfig(train="all", test="valid"), {"all", "train", "valid", "test", "val"})
    assert chosen.words == {"train": "all", "test": "valid"}
    assert [chosen.split_of(word) for word in ("all", "train", "valid", "test", None)] == [
        "train",
        None,
        "test",
        None,
        None,
    ]


def test_validation_that_the_config_names_does_not_serve_as_test():
    assert choose_words(SplitsConfig(validation="val"), {"train", "val"}).words == {
        "train": "train",
        "validation": "val",
    }


def test_a_word_that_is_not_there_is_refused_and_those_there_are_named():
    with pytest.raises(UnknownSplitError, match="names 'tset', which is not there; the splits are 'test', 'train'"):
        choose_words(SplitsConfig(test="tset"), {"train", "test"})


def test_the_usual_splits_do_not_mark_the_fingerprint():
    assert choose_words(None, {"train", "test"}).mark("abc") == "abc"
    assert choose_words(None, {"train", "val"}).mark("abc") != "abc"
