"""How much evaluation a distillation buys: the dial, and what it stands for. Torch-free."""

from typing import Literal

from ddoq.network_config import ARCHITECTURES
from ddoq.protocols import PROTOCOLS, ProtocolName

Evaluation = Literal["none", "quick", "full"]

DIAL = (
    "How much evaluation is bought. `none` trains no student: the report has figures, but no accuracy. `quick` trains "
    "one network on up to five contenders, by the protocol's learning rate. `full` first holds 10 % of each class's "
    "training images out as validation, tries three learning rates on them for every contender and network, and adds "
    "other weights, full data and, unless `students.networks` says otherwise, other networks: at 3 seeds nine "
    "times the students of `quick`."
)
VALIDATION_SHARE = 0.1
DEFAULT_NETWORKS = ("convnet-3",)
ACROSS_NETWORKS = ("convnet-3", "cifar-resnet-20", "resnet-18")  # one family after another
NETWORKS = (
    f"What is trained, each on every contender; the first decides. Of {', '.join(ARCHITECTURES)}. Default: "
    f"{DEFAULT_NETWORKS[0]}; with evaluation `full` {', '.join(ACROSS_NETWORKS)}, or those of the protocol's source, "
    "where images are large enough for them."
)


def default_networks(evaluation: Evaluation, protocol: ProtocolName, side: int) -> tuple[str, ...]:
    """Name the students' networks where nobody does, the one that decides first.

    Args:
        evaluation: Only `full` takes several.
        protocol: Whose source may name its own.
        side: Of the images that students see, in pixels; networks that need more are left out, unless all do.
    """
    if evaluation != "full":
        return DEFAULT_NETWORKS
    own = tuple(network.name for network in PROTOCOLS[protocol].networks)
    names = ACROSS_NETWORKS if protocol in {"quick", "small-hard"} else own
    return tuple(name for name in names if ARCHITECTURES[name].least_side <= side) or names
