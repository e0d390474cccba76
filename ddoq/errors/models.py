"""Priors and teachers that cannot be used: two branches of the tree that `ddoq.errors` draws."""

from ddoq.errors.base import DdoqError


class PriorError(DdoqError):
    """The latent prior cannot be used."""

    code = "prior.invalid"
    hint = "Change the prior as the message says."


class PriorNotFoundError(PriorError):
    """There is no such model, it is not of the kind that is needed, or it has no safetensors weights."""

    code = "prior.not_found"
    hint = "Check `prior.model`, and set `prior.revision` to a commit."


class PriorNotAllowedError(PriorError):
    """The model is not among those that this installation allows."""

    code = "prior.not_allowed"
    hint = "Use a model that is allowed, or add this one to `DDOQ_MODELS`."


class ResolutionError(PriorError):
    """The prior cannot work at this resolution."""

    code = "prior.resolution"
    hint = "Set `prior.resolution` to the multiple that the message names."


class ClassIdError(PriorError):
    """The prior's model does not know a class of the dataset, or is told of one that is none."""

    code = "prior.unknown_class"
    hint = "Give the class's id in `prior.class_ids`, or correct the name in `prior.class_prompts`."


class OutOfMemoryError(PriorError):
    """The memory of the device does not hold a single image's work."""

    code = "prior.out_of_memory"
    hint = "Lower `prior.resolution`, or use a smaller model or a larger device."


class NotFiniteError(PriorError):
    """The prior turned images into latents that are not finite numbers."""

    code = "prior.not_finite"
    hint = "Use other weights: these are damaged or of too low a precision."


class TeacherError(DdoqError):
    """The teacher cannot be trained, or its labels cannot be used."""

    code = "teacher.invalid"
    hint = "Use another teacher, or lower `teacher.learning_rate`."


class TeacherNotFoundError(TeacherError):
    """There is no such model, it does not classify images, or it has no safetensors weights."""

    code = "teacher.not_found"
    hint = "Check `teacher.model`, and set `teacher.revision` to a commit."


class TeacherNotAllowedError(TeacherError):
    """The teacher's checkpoint or model is not among those that this installation allows."""

    code = "teacher.not_allowed"
    hint = "Use a teacher that is allowed, or add this one to `DDOQ_MODELS`."


class LabelsTooLargeError(TeacherError):
    """The soft labels would take more bytes than `teacher.max_label_bytes`."""

    code = "teacher.labels_too_large"
    hint = "Raise `teacher.max_label_bytes`, set `teacher.labels` to `live`, or ask for fewer images or steps."


class TeacherNeededError(TeacherError):
    """The recipe asks the teacher about every view, and an archive holds no teacher."""

    code = "teacher.needed"
    hint = "Distil with `teacher.labels` set to `stored` or `fixed`, whose labels are in the archive."
