"""What an image classifier of transformers has to be shown, as its `preprocessor_config.json` says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ddoq.errors import ConfigError, TeacherNotFoundError
from ddoq.model_source import ModelSource
from ddoq.teacher_config import PretrainedTeacher

FILE = "preprocessor_config.json"
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """Side of the images in pixels, and the mean and deviation of their channels (0 to 1) that are taken out."""

    mean: Channels
    deviation: Channels
    resolution: int


def resolve_preprocessing(teacher: PretrainedTeacher, source: ModelSource) -> Preprocessing:
    """Take each number from the config, or from the model's file where the config leaves it out.

    Raises:
        TeacherNotFoundError: a number is left out, and there is no such file.
        ConfigError: a number is left out, and the file does not say it in a way that is understood here.
    """
    mean, deviation, resolution = teacher.mean, teacher.deviation, teacher.resolution
    if mean and deviation and resolution:
        return Preprocessing(mean, deviation, resolution)
    try:
        said = source.read_json(FILE)
    except TeacherNotFoundError as error:
        numbers = "teacher.mean, teacher.deviation and teacher.resolution"
        raise TeacherNotFoundError(f"{error}; without it set {numbers}") from error
    return Preprocessing(
        mean=mean or _channels(said, "image_mean", 0.0),
        deviation=deviation or _channels(said, "image_std", 1.0),
        resolution=resolution or _side(said),
    )


def _channels(said: Mapping[str, Any], name: str, unchanged: float) -> Channels:
    """Read three numbers; `unchanged` where the file says that channels are left as they are."""
    if not said.get("do_normalize", True):
        return (unchanged,) * 3
    scale, values = said.get("rescale_factor", 1 / 255), said.get(name)
    is_unit = _is_number(scale) and abs(255 * scale - 1) < 1e-3 and not said.get("rescale_offset")
    if not is_unit or not isinstance(values, list) or len(values) != 3 or not all(map(_is_number, values)):
        raise ConfigError(f"{FILE} has no {name} of three channels from 0 to 1; set teacher.mean and teacher.deviation")
    red, green, blue = map(float, values)
    return red, green, blue


def _side(said: Mapping[str, Any]) -> int:
    """Read the side of the square that is cut out or, where nothing is, of the image as it was resized."""
    size = said.get("crop_size") if said.get("do_center_crop") and said.get("crop_size") else said.get("size")
    sides = set(size.values()) if isinstance(size, Mapping) else {size}
    if len(sides) != 1 or not isinstance(side := sides.pop(), int) or side < 1:
        raise ConfigError(f"{FILE} names no square that the model is shown, but {size!r}; set teacher.resolution")
    return side


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
