"""The network that labels images, and where it comes from: part of the config. Torch-free."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ddoq.network_config import ARCHITECTURES, NetworkConfig, Norm
from ddoq.prior_config import Group, ModelName, Revision

Share = Annotated[float, Field(ge=0, le=1)]
Channels = tuple[Share, Share, Share]

TEMPERATURE = 20.0  # where neither config nor protocol gives one

MEAN = "Of the channels (0 to 1), as it was trained."
SIDE = "Side in pixels of the images that it is shown."
NETWORK = f"Its architecture, of {', '.join(ARCHITECTURES)}."
NORM = "Its norm. Default: the network's."


class TeacherBase(Group):
    """What is asked of every teacher."""

    labels: Literal["fixed", "stored", "live"] | None = Field(
        None,
        description="What its logits label: each image once; every view that a student is to see, kept beforehand; "
        "every view when a student sees it. Default: the protocol's, `fixed` where that knows class labels alone.",
    )
    temperature: float | None = Field(
        None, gt=0, le=1000, description="Divides the logits of teacher and student. Default: the protocol's, else 20."
    )
    max_label_bytes: int = Field(2**30, ge=1, description="Soft labels of one archive take at most so many bytes.")


class CheckpointTeacher(TeacherBase):
    """A trained network of one of our architectures, in a safetensors file."""

    kind: Literal["checkpoint"] = "checkpoint"
    network: str = Field(description=NETWORK)
    checkpoint: str = Field(
        max_length=1024,
        pattern="^/",
        description="Absolute path of a safetensors file, or of a folder with `model.safetensors`. Its logits are in "
        "the order of the classes.",
    )
    mean: Channels = Field(description=MEAN)
    deviation: Channels = Field(description=MEAN)
    resolution: int = Field(ge=8, le=1024, description=SIDE)
    width: int | None = Field(None, ge=1, le=4096, description="Channels of its first stage. Default: the network's.")
    norm: Norm | None = Field(None, description=NORM)

    @property
    def resolved_network(self) -> NetworkConfig:
        """The architecture, with nothing left open but its own defaults."""
        return NetworkConfig(self.network, self.width, self.norm)

    @model_validator(mode="after")
    def _network_is_known_and_sees_enough(self) -> "CheckpointTeacher":
        _require_known(self.network)
        if self.resolution < (least := ARCHITECTURES[self.network].least_side):
            raise ValueError(f"teacher.resolution {self.resolution} is too small: {self.network} needs {least} pixels")
        return self


class PretrainedTeacher(TeacherBase):
    """An image classifier of transformers with as many classes as the dataset; no code of the model's own is run.

    Where its names of classes are those of the dataset, upper and lower case aside, its logits are put in the order of
    the dataset's; where they are others, its logits are taken to be in that order.
    """

    kind: Literal["pretrained"] = "pretrained"
    model: ModelName = Field(
        description="Hub id, or absolute path of a local folder with `config.json` and `model.safetensors`."
    )
    revision: Revision | None = Field(None, description="Commit of the hub repository; required for a hub id.")
    mean: Channels | None = Field(None, description=f"{MEAN} Default: of the model's `preprocessor_config.json`.")
    deviation: Channels | None = Field(None, description=f"{MEAN} Default: of the model's `preprocessor_config.json`.")
    resolution: int | None = Field(
        None, ge=8, le=1024, description=f"{SIDE} Default: of the model's `preprocessor_config.json`."
    )

    @property
    def resolved_network(self) -> NetworkConfig:
        """The model by its name."""
        return NetworkConfig(self.model)


class TrainedTeacher(TeacherBase):
    """A network that is trained on the dataset's own training images, at the side at which students see them.

    Mean and deviation of the channels are those of the training images. Kept under all that it depends on, so that it
    is trained once for all distillations of a dataset.
    """

    kind: Literal["train"] = "train"
    network: str = Field("resnet-18", description=NETWORK)
    width: int | None = Field(
        16,
        ge=8,
        le=512,
        description="Channels of its first stage: few, so that a CPU will do. Null: the network's own.",
    )
    norm: Norm | None = Field(None, description=NORM)
    epochs: int | None = Field(
        None, ge=1, le=10_000, description="Times that it sees every image. Default: 30, or more up to 1,000 steps."
    )
    steps: int | None = Field(None, ge=1, le=10_000_000, description="Optimiser steps, instead of `epochs`.")
    batch_size: int = Field(128, ge=1, le=4096, description="Images a step.")
    learning_rate: float = Field(0.005, gt=0, le=10, description="Of the first step; it falls to zero along a cosine.")
    flip: float = Field(0.5, ge=0, le=1, description="Chance with which an image is shown left for right.")

    @property
    def resolved_network(self) -> NetworkConfig:
        """The architecture, with nothing left open but its own defaults."""
        return NetworkConfig(self.network, self.width, self.norm)

    @model_validator(mode="after")
    def _network_is_known(self) -> "TrainedTeacher":
        _require_known(self.network)
        if self.epochs is not None and self.steps is not None:
            raise ValueError("teacher.epochs and teacher.steps both say how long it is trained; give one")
        return self


TeacherConfig = CheckpointTeacher | PretrainedTeacher | TrainedTeacher


def _require_known(network: str) -> None:
    if network not in ARCHITECTURES:
        raise ValueError(f"teacher.network {network!r} is unknown; known are {', '.join(ARCHITECTURES)}")
