"""Which of a model's outputs belongs to which class of the dataset. Torch-free."""

from collections.abc import Sequence

from ddoq.errors import ConfigError


def class_order(model: str, theirs: Sequence[str], ours: Sequence[str]) -> tuple[int, ...] | None:
    """Answer, for each of our classes, which of a model's outputs is of it; None where the names do not tell.

    Names are compared without regard to upper and lower case.

    Args:
        model: Its name, for the error.
        theirs: What the model calls its outputs.
        ours: The names of as many classes of the dataset.

    Raises:
        ConfigError: some names are the same, but others are not, and the same ones are not in the same places.
    """
    named, wanted = [name.strip().casefold() for name in theirs], [name.strip().casefold() for name in ours]
    if sorted(named) == sorted(wanted) and len(set(wanted)) == len(wanted):
        return tuple(map(named.index, wanted))
    moved = [name for place, name in enumerate(ours) if wanted[place] in named and named[place] != wanted[place]]
    if moved:
        raise ConfigError(
            f"{model!r} knows the class {moved[0]!r}, but in another place, and has other names for other classes; "
            "rename the classes of the dataset as the model does, or order dataset.class_names as its id2label"
        )
    return None
