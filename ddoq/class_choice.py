"""Counts of the images of each class -> the classes to distil, in label order."""

from collections.abc import Mapping, Sequence
from typing import Final

from ddoq.errors import EmptyClassError, NoClassesError, OneClassError, UnknownClassError
from ddoq.left_out import LeftOut
from ddoq.splits import Split

NOT_CHOSEN: Final = "images of classes that class_names leaves out"


def choose_classes(
    counts: Mapping[Split, Mapping[str, int]],
    natural: Sequence[str],
    class_names: Sequence[str] | None,
    left_out: LeftOut,
) -> tuple[str, ...]:
    """Put the classes in label order and refuse what cannot be distilled.

    Args:
        counts: Images of each class in each split; no test images at all means that some will be held out.
        natural: All classes, in the order used when `class_names` is None.
        class_names: The classes asked for.
        left_out: Takes the images of the other classes.

    Raises:
        NoClassesError: no training images in any class.
        OneClassError: one class only.
        UnknownClassError: a class asked for is not there.
        EmptyClassError: a class has no training images.
    """
    train, test = counts["train"], counts["test"]
    if not train:
        raise NoClassesError(_no_classes(bool(test), left_out))
    chosen = tuple(natural if class_names is None else class_names)
    for name in chosen:
        if name not in natural:
            raise UnknownClassError(f"there is no class {name!r}; the classes are {_first(natural)}")
        if name not in train:
            raise EmptyClassError(f"class {name!r} has no training images; add some or leave it out by class_names")
    if len(chosen) == 1:
        raise OneClassError(f"there is only one class, {chosen[0]!r}; at least two are needed")
    for name in natural:
        if name not in chosen:
            left_out.add(NOT_CHOSEN, name, train.get(name, 0) + test.get(name, 0))
    return chosen


def require_test(n_test: int, every: int) -> None:
    """Raise EmptyClassError when no image is left to test with."""
    if n_test == 0:
        raise EmptyClassError(
            f"no image of these classes is for testing; add a test split, or {every} images to a class, of which one "
            "is held out"
        )


def require_validation(n_validation: int) -> None:
    """Raise EmptyClassError when the data's own validation split has no image of the classes."""
    if n_validation == 0:
        raise EmptyClassError(
            "no image of these classes is in the split that dataset.splits.validation names; name another or none"
        )


def validation_steps(class_names: Sequence[str], counts: Sequence[int], every: int) -> list[int]:
    """Say for each class which images to hold out as validation: each such one; of fewer than `every`, the last.

    Raises:
        EmptyClassError: a class has one training image.
    """
    for name, n in zip(class_names, counts, strict=True):
        if n < 2:
            raise EmptyClassError(
                f"class {name!r} has {n} training image, which validation would take; add images, leave the class out "
                "or set evaluation to 'quick'"
            )
    return [min(every, n) for n in counts]


def _no_classes(has_test: bool, left_out: LeftOut) -> str:
    if has_test:
        return "there is a test folder and no train folder; name the other one train"
    seen = "; ".join(left_out.sentences()[:3])
    return "no class folders with images were found; send train/<class>/<file> or <class>/<file>" + (
        f" (left out: {seen})" if seen else ""
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
