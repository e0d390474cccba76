"""How many images a class is distilled to: the forms in which that may be asked for. Torch-free."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

Count = Annotated[int, Field(ge=1, le=1000)]


def _form(value: Any) -> str:
    """Tell the forms of `images_per_class` apart; anything else is to be a number."""
    if isinstance(value, Mapping):
        return "by class"
    return "sweep" if isinstance(value, list | tuple) else "number"


ImagesPerClass = Annotated[
    Annotated[Count, Tag("number")]
    | Annotated[tuple[Count, ...], Field(min_length=1, max_length=10), Tag("sweep")]
    | Annotated[dict[str, Count], Field(min_length=2, max_length=10_000), Tag("by class")],
    Discriminator(_form),
]
