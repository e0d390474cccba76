"""One description of a distillation: REST body, column of the job, file of the command line. Torch-free."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ddoq.dataset_config import DatasetConfig
from ddoq.evaluation_config import (
    DIAL,
    VALIDATION_SHARE,
    Evaluation,
    StudentsConfig,
    default_networks,
)
from ddoq.events import Stage
from ddoq.image_counts import ImagesPerClass
from ddoq.methods import GIVES_SOURCE_IMAGES, ROWS, TUNED_BY_QUANTIZER, Canvas, Method, Parts, ReducerName, Weighting
from ddoq.network_config import ARCHITECTURES
from ddoq.prior_config import (
    DENOISING,
    Group,
    PixelsPrior,
    Prior,
    Sampler,
    SamplerConfig,
)
from ddoq.protocols import PROTOCOLS, Protocol
from ddoq.teacher_config import TEMPERATURE, TeacherConfig, TrainedTeacher


class QuantizerConfig(Group):
    """k-means++ seeding, then exchange of single rows until none lowers the cost, for each class."""

    effort: Literal["fast", "default", "best"] = Field(
        "default",
        description="How much is tried: `best` takes several times longer for the last percent of distortion.",
    )
    max_passes: int = Field(100, ge=1, le=10_000, description="Passes over the rows of a class at most.")


class OutputConfig(Group):
    """What the archive holds."""

    resolution: int | None = Field(
        None, ge=8, le=1024, description="Side in pixels of the distilled images. Default: the prior's resolution."
    )


class DistillConfig(Group):
    """A distillation, whole. Everything but the dataset has a default; unknown fields are refused."""

    dataset: DatasetConfig
    total_images: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="Instead of images_per_class: this many in all, more for the classes that gain most by them.",
    )
    images_per_class: ImagesPerClass | None = Field(
        10,
        description="Distilled images for each class (IPC): one number; a list, for an archive each from one encoding; "
        "or a number for each class by name.",
    )
    method: Method = Field("ddoq", description="A row of parts: `reducer`, `canvas` and `weights`.")
    reducer: ReducerName | None = Field(None, description="What reduces a class to points. Default: the method's.")
    canvas: Canvas | None = Field(
        None,
        description="What is shown for a point: what the prior makes of it, or the real image. Default: the method's.",
    )
    weights: Weighting | None = Field(
        None,
        description="How Voronoi masses become training weights, mean one in each class: all equal; in proportion to "
        "the mass; to its square root. Default: the method's.",
    )
    prior: Annotated[Prior, Field(discriminator="kind")] = PixelsPrior()
    quantizer: QuantizerConfig = QuantizerConfig()
    sampler: SamplerConfig = SamplerConfig()
    teacher: Annotated[TeacherConfig, Field(discriminator="kind")] | None = Field(
        None, description="A trained network that gives the distilled images soft labels. Default: class labels alone."
    )
    students: StudentsConfig = StudentsConfig()
    evaluation: Evaluation = Field("quick", description=DIAL)
    output: OutputConfig = OutputConfig()
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes every byte of the archive on one kind of device.")

    @property
    def parts(self) -> Parts:
        """The method's row, with what was chosen instead."""
        row = ROWS[self.method]
        return Parts(self.reducer or row.reducer, self.canvas or row.canvas, self.weights or row.weights)

    @property
    def resolved_sampler(self) -> Sampler:
        """How codewords are denoised; strength 0 where nothing is."""
        strength, guidance = DENOISING.get(self.prior.kind, (0.0, 1.0))
        return Sampler(
            self.sampler.scheduler,
            self.sampler.steps,
            strength if self.sampler.strength is None else self.sampler.strength,
            guidance if self.sampler.guidance is None else self.sampler.guidance,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of this distillation, in their order."""
        left_out = {
            Stage.FIT: self.prior.kind != "fit",
            Stage.TEACH: not isinstance(self.teacher, TrainedTeacher),
            Stage.LABEL: self.taught_labels not in {"fixed", "stored"},
            Stage.TRAIN: self.evaluation == "none",
        }
        return _all_but(frozenset([stage for stage, is_left_out in left_out.items() if is_left_out]))

    @property
    def output_resolution(self) -> int:
        """Side in pixels of the distilled images."""
        return self.output.resolution or self.prior.resolution

    @property
    def resolved_protocol(self) -> Protocol:
        """How students are trained, on the teacher's labels where there are any."""
        students = self.students.model_copy(update={"networks": self.student_networks})
        hard, teacher = students.resolved_protocol, self.teacher
        if teacher is None:
            return hard
        temperature = teacher.temperature or hard.temperature or TEMPERATURE
        network = teacher.resolved_network
        return replace(hard, labels=self.taught_labels, loss="kl", temperature=temperature, teacher=network)

    @property
    def taught_labels(self) -> Literal["hard", "fixed", "stored", "live"]:
        """What students are taught by: those of the protocol or, where a teacher gives them, what it was asked for."""
        labels, teacher = PROTOCOLS[self.students.protocol].labels, self.teacher
        if teacher is None:
            return labels
        return teacher.labels or (labels if labels in {"stored", "live"} else "fixed")

    @property
    def student_resolution(self) -> int:
        """Side in pixels at which students see images."""
        return min(self.output_resolution, self.students.resolution)

    @property
    def student_networks(self) -> tuple[str, ...]:
        """The architectures of students, the one that decides first."""
        students = self.students
        return students.networks or default_networks(self.evaluation, students.protocol, self.student_resolution)

    @property
    def validation_share(self) -> float:
        """Of the training images of each class, what is held out as validation before any method sees them."""
        return VALIDATION_SHARE if self.evaluation == "full" else 0.0

    @property
    def n_draws(self) -> int:
        """Training sets of each contender: one a student seed, and another to tune the learning rate on, if it is."""
        return {"none": 0, "quick": self.students.seeds, "full": self.students.seeds + 1}[self.evaluation]

    @model_validator(mode="before")
    @classmethod
    def _total_replaces_number(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("total_images") is not None and "images_per_class" not in given:
            return {**given, "images_per_class": None}
        return given

    @field_validator("images_per_class")
    @classmethod
    def _images_are_counted_once(cls, given: ImagesPerClass | None, info: Any) -> ImagesPerClass | None:
        if "total_images" not in info.data:  # it is wrong itself
            return given
        if (given is None) == (info.data["total_images"] is None):
            raise ValueError("give either images_per_class or total_images")
        if isinstance(given, tuple) and len(set(given)) < len(given):
            raise ValueError("images_per_class names a number twice; name each once")
        return given

    @model_validator(mode="after")
    def _class_names_are_distinct(self) -> "DistillConfig":
        names = self.dataset.class_names or ()
        if len(set(names)) != len(names):
            raise ValueError("dataset.class_names names a class twice; name each once")
        return self

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "DistillConfig":
        if refusal := _refusal(self):
            raise ValueError(refusal)
        return self

    @model_validator(mode="after")
    def _labels_suit_the_protocol(self) -> "DistillConfig":
        name, labels = self.students.protocol, self.taught_labels
        if self.teacher is None and labels != "hard":
            raise ValueError(
                f"students.protocol {name!r} teaches by {labels} labels of a teacher; set teacher, or use "
                "quick, small-hard or minimax-hard"
            )
        if labels == "fixed" and PROTOCOLS[name].augment.cutmix:
            raise ValueError(
                f"students.protocol {name!r} mixes images, of which fixed soft labels say nothing; set teacher.labels "
                "to 'live' or 'stored', use quick or small-hard, or drop teacher"
            )
        if (self.evaluation, labels) == ("none", "live") and isinstance(self.teacher, TrainedTeacher):
            raise ValueError(
                "a teacher of live labels is asked by students alone, of which evaluation 'none' has none: it would be "
                "trained in vain; set teacher.labels to 'stored', or evaluation to 'quick'"
            )
        return self

    @model_validator(mode="after")
    def _networks_see_enough(self) -> "DistillConfig":
        side, named = self.student_resolution, [("students.networks", name) for name in self.student_networks]
        if isinstance(self.teacher, TrainedTeacher):  # it sees what students see
            named.append(("teacher.network", self.teacher.network))
        for field, name in named:
            if side < (least := ARCHITECTURES[name].least_side):
                raise ValueError(
                    f"{field} names {name!r}, which needs images of at least {least} pixels, but students "
                    f"see {side}: the smaller of students.resolution ({self.students.resolution}) and the side of the "
                    f"distilled images ({self.output_resolution}); raise it or leave the network out"
                )
        return self


@cache
def _all_but(left_out: frozenset[Stage]) -> tuple[Stage, ...]:
    return tuple(stage for stage in Stage if stage not in left_out)


def _refusal(config: DistillConfig) -> str | None:
    """Say why the chosen parts cannot work together, or would not be used."""
    parts, prior, sampler = config.parts, config.prior.kind, config.sampler
    strength = config.resolved_sampler.strength
    if parts.canvas == "real" and parts.reducer not in GIVES_SOURCE_IMAGES:
        able = ", ".join(sorted(GIVES_SOURCE_IMAGES))
        return f"canvas 'real' needs points that are images, which reducer {parts.reducer!r} does not give; use {able}"
    if config.quantizer != QuantizerConfig() and parts.reducer not in TUNED_BY_QUANTIZER:
        return f"reducer {parts.reducer!r} takes no settings of quantizer; leave them out or use centroid or medoid"
    if parts.canvas == "real" and (prior == "fit" or sampler != SamplerConfig()):
        unused = "prior 'fit'" if prior == "fit" else "sampler"
        return f"canvas 'real' shows images of the dataset and makes no use of {unused}; use canvas 'prior' or drop it"
    if prior not in DENOISING and (strength > 0 or sampler != SamplerConfig(strength=sampler.strength)):
        return f"prior {prior!r} has no diffusion model to denoise by; use {', '.join(DENOISING)}, or drop sampler"
    if prior == "fit" and strength == 0:
        return "with sampler.strength 0 the fitted prior would not be used; use prior 'vae' or 'pixels'"
    return None
