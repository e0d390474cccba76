"""Who is compared with the distilled set, as far as the config alone tells. Torch-free."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ddoq.config import DistillConfig
from ddoq.methods import Weighting

DISTILLED, MEDOIDS, RANDOM, SAME_LABELS = "distilled", "medoids", "random real", "random, same labels"
FULL_DATA: Final = "full data"
WEIGHTED: Mapping[Weighting, str] = MappingProxyType(
    {"uniform": "uniform weights", "share": "share weights", "sqrt": "sqrt weights"}
)
# By the teacher, where there is one.
LEARN_FROM_TEACHER: Final = frozenset({DISTILLED, SAME_LABELS, *WEIGHTED.values()})


def contender_names(config: DistillConfig) -> tuple[str, ...]:
    """Name all that may compete in each budget, in their order; some may turn out to be the same as others."""
    if config.evaluation == "none":
        return ()
    return (
        DISTILLED,
        *(WEIGHTED[other] for other in other_weights(config)),
        *([] if config.parts.canvas == "real" else [MEDOIDS]),
        RANDOM,
        *([] if config.resolved_protocol.labels == "hard" else [SAME_LABELS]),
        *([FULL_DATA] if config.evaluation == "full" else []),
    )


def other_weights(config: DistillConfig) -> list[Weighting]:
    """Name the ways to weigh the distilled images that are not their own."""
    own = config.parts.weights
    return [other for other in WEIGHTED if other != own and (config.evaluation == "full" or other == "uniform")]


def n_train_blocks(config: DistillConfig) -> int:
    """Count the blocks of the train stage: one for each contender of each budget."""
    asked = config.images_per_class
    return len(contender_names(config)) * (len(asked) if isinstance(asked, tuple) else 1)
