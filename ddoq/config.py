"""One description of a distillation: REST body, column of the job, file of the command line. Torch-free."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(Group):
    """Where the labelled images are and how to read them."""

    uri: str = Field(
        min_length=1,
        max_length=2048,
        description="`file://` or `s3://` address of a folder of class folders, a zip or tar of one, or Parquet. "
        "`train` and `test` folders (or file names) above the classes are the splits.",
    )
    image_column: str = Field("image", min_length=1, max_length=256, description="Parquet: column of encoded images.")
    label_column: str = Field("label", min_length=1, max_length=256, description="Parquet: column of labels.")
    class_names: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] | None = Field(
        None,
        min_length=2,
        max_length=10_000,
        description="Classes to distil, in label order; others are left out. Default: all, ordered by name "
        "(integer labels of Parquet: by number).",
    )
    test_share: float = Field(
        0.2,
        gt=0,
        le=0.5,
        description="Without a test split, this share of each class is held out first.",
    )
    max_bad_share: float = Field(
        0.01, ge=0, lt=1, description="The job fails when a larger share of the images does not decode."
    )


class PixelsPrior(Group):
    """No model: a latent is the image itself. For small images."""

    kind: Literal["pixels"] = "pixels"
    resolution: int = Field(32, ge=8, le=64, description="Side in pixels of the square that is quantized.")


class VaePrior(Group):
    """The latent space of a diffusers autoencoder (`AutoencoderKL` or `AutoencoderTiny`)."""

    kind: Literal["vae"] = "vae"
    model: str = Field(min_length=1, max_length=512, description="Hub id, or path of a local diffusers folder.")
    revision: str | None = Field(
        None, min_length=1, max_length=128, description="Commit of the hub repository; required for a hub id."
    )
    resolution: int = Field(256, ge=16, le=1024, multiple_of=8, description="Side in pixels that the encoder sees.")
    batch_size: int = Field(32, ge=1, le=1024, description="Images a batch of encoding and decoding.")


class QuantizerConfig(Group):
    """k-means++ seeding, then exchange of single rows until none lowers the cost, for each class."""

    effort: Literal["fast", "default", "best"] = Field(
        "default",
        description="How much is tried: `best` takes several times longer for the last percent of distortion.",
    )
    max_passes: int = Field(100, ge=1, le=10_000, description="Passes over the rows of a class at most.")


class StudentsConfig(Group):
    """The networks trained to tell how good the distilled set is: ConvNet-3, one recipe for every contender."""

    seeds: int = Field(3, ge=1, le=20, description="Students a contender; the report gives mean and deviation.")
    steps: int = Field(300, ge=1, le=100_000, description="Optimiser steps, the same for every contender.")
    batch_size: int = Field(32, ge=1, le=4096, description="Images a step.")
    width: int = Field(128, ge=8, le=512, description="Channels of each convolution.")
    resolution: int = Field(32, ge=8, le=256, description="Students see images of at most this side, in pixels.")


class OutputConfig(Group):
    """What the archive holds."""

    resolution: int | None = Field(
        None, ge=8, le=1024, description="Side in pixels of the distilled images. Default: the prior's resolution."
    )


class DistillConfig(Group):
    """A distillation, whole. Everything but the dataset has a default; unknown fields are refused."""

    dataset: DatasetConfig
    images_per_class: int = Field(10, ge=1, le=1000, description="Distilled images for each class (IPC).")
    prior: Annotated[PixelsPrior | VaePrior, Field(discriminator="kind")] = PixelsPrior()
    quantizer: QuantizerConfig = QuantizerConfig()
    weights: Literal["uniform", "share", "sqrt"] = Field(
        "sqrt",
        description="How Voronoi masses become training weights, mean one in each class: all equal; in proportion to "
        "the mass; to its square root.",
    )
    students: StudentsConfig = StudentsConfig()
    output: OutputConfig = OutputConfig()
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes every byte of the archive on one kind of device.")

    @property
    def output_resolution(self) -> int:
        """Side in pixels of the distilled images."""
        return self.output.resolution or self.prior.resolution

    @model_validator(mode="after")
    def _class_names_are_distinct(self) -> "DistillConfig":
        names = self.dataset.class_names or ()
        if len(set(names)) != len(names):
            raise ValueError("dataset.class_names names a class twice; name each once")
        return self
