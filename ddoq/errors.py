"""Every way the algorithm can refuse or fail, each with a stable code. Torch-free.

    DdoqError
    ├── ConfigError            config.invalid
    ├── DatasetError           (the dataset, not the code, must change)
    │   ├── UnknownSchemeError       dataset.unknown_scheme
    │   ├── OutsideRootsError        dataset.outside_roots
    │   ├── BucketNotAllowedError    dataset.bucket_not_allowed
    │   ├── DatasetNotFoundError     dataset.not_found
    │   ├── NotAnArchiveError        dataset.not_an_archive
    │   ├── DamagedArchiveError      dataset.damaged
    │   ├── NoClassesError           dataset.no_classes
    │   ├── OneClassError            dataset.one_class
    │   ├── UnknownClassError        dataset.unknown_class
    │   ├── EmptyClassError          dataset.empty_class
    │   ├── NoColumnError            dataset.no_column
    │   ├── FormatError              dataset.format
    │   ├── BadCsvError              dataset.bad_csv
    │   ├── LabelNamesError          dataset.label_names
    │   ├── UnknownSplitError        dataset.unknown_split
    │   ├── BadImagesError           dataset.bad_images
    │   ├── DatasetChangedError      dataset.changed
    │   └── DatasetUnavailableError  dataset.unavailable
    ├── PriorError
    │   ├── PriorNotFoundError       prior.not_found
    │   ├── PriorNotAllowedError     prior.not_allowed
    │   ├── ResolutionError          prior.resolution
    │   ├── ClassIdError             prior.unknown_class
    │   ├── OutOfMemoryError         prior.out_of_memory
    │   └── NotFiniteError           prior.not_finite
    ├── TeacherError           teacher.invalid
    │   ├── TeacherNotFoundError     teacher.not_found
    │   ├── TeacherNotAllowedError   teacher.not_allowed
    │   ├── LabelsTooLargeError      teacher.labels_too_large
    │   └── TeacherNeededError       teacher.needed
    └── ArchiveError           archive.invalid

A code never changes its meaning; `docs/errors.md` lists them all.
"""

from typing import ClassVar


class DdoqError(Exception):
    """Something that the caller can understand and act on."""

    code: ClassVar[str] = "internal"


class ConfigError(DdoqError):
    """The config is not one that can be run."""

    code = "config.invalid"


class DatasetError(DdoqError):
    """The dataset cannot be distilled as it is."""

    code = "dataset.invalid"


class UnknownSchemeError(DatasetError):
    """The dataset URI has a scheme that is not read here."""

    code = "dataset.unknown_scheme"


class OutsideRootsError(DatasetError):
    """A `file://` dataset lies outside the folders that may be read."""

    code = "dataset.outside_roots"


class BucketNotAllowedError(DatasetError):
    """An `s3://` dataset lies in a bucket that may not be read."""

    code = "dataset.bucket_not_allowed"


class DatasetNotFoundError(DatasetError):
    """There is nothing at the dataset URI."""

    code = "dataset.not_found"


class NotAnArchiveError(DatasetError):
    """The file at the dataset URI is neither an archive (zip or tar) nor Parquet."""

    code = "dataset.not_an_archive"


class DamagedArchiveError(DatasetError):
    """The archive or Parquet file breaks off or contradicts itself."""

    code = "dataset.damaged"


class NoClassesError(DatasetError):
    """No images with labels were found."""

    code = "dataset.no_classes"


class OneClassError(DatasetError):
    """There is only one class, so there is nothing to tell apart."""

    code = "dataset.one_class"


class UnknownClassError(DatasetError):
    """`dataset.class_names` or `dataset.class_map` names a class that the dataset does not have."""

    code = "dataset.unknown_class"


class EmptyClassError(DatasetError):
    """A class has fewer distinct images than `images_per_class`."""

    code = "dataset.empty_class"


class NoColumnError(DatasetError):
    """A table (Parquet, CSV or JSON beside images) lacks the image or the label column, or one of a usable type."""

    code = "dataset.no_column"


class FormatError(DatasetError):
    """The dataset is not of the format that `dataset.format` names, or its format is not read from where it lies."""

    code = "dataset.format"
    hint: ClassVar[str] = "Leave `dataset.format` out, or name a format that the message says was found."


class BadCsvError(DatasetError):
    """The CSV is no table of images: it is too large, no UTF-8, or names an image twice."""

    code = "dataset.bad_csv"
    hint: ClassVar[str] = "Write the CSV as UTF-8 with a header and one row for each image."


class LabelNamesError(DatasetError):
    """`dataset.label_names` names integer labels, but the labels of the dataset are not all integers."""

    code = "dataset.label_names"
    hint: ClassVar[str] = "Leave `dataset.label_names` out, or rename classes by `dataset.class_map`."


class UnknownSplitError(DatasetError):
    """`dataset.splits` names a split that the dataset does not have."""

    code = "dataset.unknown_split"
    hint: ClassVar[str] = "Name a split that the message lists, or leave `dataset.splits` out."


class BadImagesError(DatasetError):
    """More images than the configured share could not be decoded."""

    code = "dataset.bad_images"


class DatasetChangedError(DatasetError):
    """The dataset changed between two stages of one job."""

    code = "dataset.changed"


class DatasetUnavailableError(DatasetError):
    """The dataset's server does not answer, or fails; later it may not."""

    code = "dataset.unavailable"


class PriorError(DdoqError):
    """The latent prior cannot be used."""

    code = "prior.invalid"


class PriorNotFoundError(PriorError):
    """There is no such model, it is not of the kind that is needed, or it has no safetensors weights."""

    code = "prior.not_found"


class PriorNotAllowedError(PriorError):
    """The model is not among those that this installation allows."""

    code = "prior.not_allowed"


class ResolutionError(PriorError):
    """The prior cannot work at this resolution."""

    code = "prior.resolution"


class ClassIdError(PriorError):
    """The prior's model does not know a class of the dataset, or is told of one that is none."""

    code = "prior.unknown_class"


class OutOfMemoryError(PriorError):
    """The memory of the device does not hold a single image's work."""

    code = "prior.out_of_memory"


class NotFiniteError(PriorError):
    """The prior turned images into latents that are not finite numbers."""

    code = "prior.not_finite"


class TeacherError(DdoqError):
    """The teacher cannot be trained, or its labels cannot be used."""

    code = "teacher.invalid"


class TeacherNotFoundError(TeacherError):
    """There is no such model, it does not classify images, or it has no safetensors weights."""

    code = "teacher.not_found"


class TeacherNotAllowedError(TeacherError):
    """The teacher's checkpoint or model is not among those that this installation allows."""

    code = "teacher.not_allowed"


class LabelsTooLargeError(TeacherError):
    """The soft labels would take more bytes than `teacher.max_label_bytes`."""

    code = "teacher.labels_too_large"


class TeacherNeededError(TeacherError):
    """The recipe asks the teacher about every view, and an archive holds no teacher."""

    code = "teacher.needed"


class ArchiveError(DdoqError):
    """The file is not a complete, undamaged distilled archive."""

    code = "archive.invalid"
