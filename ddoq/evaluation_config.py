"""How a distillation is evaluated: how much of it is bought, and by which students. Torch-free."""

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from ddoq.network_config import ARCHITECTURES, NetworkConfig
from ddoq.prior_config import Group
from ddoq.protocols import PROTOCOLS, Protocol, ProtocolName

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


class StudentsConfig(Group):
    """The networks trained to tell how good the distilled set is: one protocol for every contender."""

    protocol: ProtocolName = Field(
        "quick",
        description="How students are trained: `quick` ranks contenders within minutes on a CPU; the others are those "
        "of the field, of which `d4m-fkd`, `rded` and `rd3` need a teacher. Accuracies of different protocols never "
        "compare.",
    )
    networks: tuple[str, ...] | None = Field(None, min_length=1, max_length=len(ARCHITECTURES), description=NETWORKS)
    seeds: int = Field(3, ge=1, le=20, description="Students a contender; the report gives mean and deviation.")
    steps: int | None = Field(
        None, ge=1, le=100_000, description="Optimiser steps, the same for every contender. Default: the protocol's."
    )
    batch_size: int | None = Field(None, ge=1, le=4096, description="Images a step. Default: the protocol's.")
    width: int | None = Field(
        None, ge=8, le=512, description="Channels of the first stage of each network. Default: the network's own."
    )
    resolution: int = Field(32, ge=8, le=256, description="Students see images of at most this side, in pixels.")

    @property
    def resolved_protocol(self) -> Protocol:
        """The protocol, with what was chosen instead."""
        row = PROTOCOLS[self.protocol]
        return replace(
            row,
            networks=tuple(self._network(name, row) for name in self.networks or DEFAULT_NETWORKS),
            steps=self.steps or row.steps,
            batch_sizes=((1, self.batch_size),) if self.batch_size else row.batch_sizes,
            doubles_from=None if self.batch_size else row.doubles_from,
        )

    def _network(self, name: str, row: Protocol) -> NetworkConfig:
        """The protocol's own form of a network, where it has one."""
        own = next((network for network in row.networks if network.name == name), NetworkConfig(name))
        return replace(own, width=self.width or own.width)

    @model_validator(mode="after")
    def _networks_are_known_and_distinct(self) -> "StudentsConfig":
        names = self.networks or DEFAULT_NETWORKS
        if unknown := [name for name in names if name not in ARCHITECTURES]:
            raise ValueError(f"students.networks names {unknown[0]!r}; known are {', '.join(ARCHITECTURES)}")
        if len(set(names)) < len(names):
            raise ValueError("students.networks names a network twice; name each once")
        return self
