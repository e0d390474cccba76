"""Every way the algorithm can refuse or fail, each with a stable code. Torch-free.

    DdoqError
    ├── AddressRefusedError    address.refused
    ├── ConfigError            config.invalid
    ├── DatasetError           (the dataset, not the code, must change)
    │   ├── UnknownSchemeError       dataset.unknown_scheme
    │   ├── OutsideRootsError        dataset.outside_roots
    │   ├── BucketNotAllowedError    dataset.bucket_not_allowed
    │   ├── DatasetUriError          dataset.uri
    │   ├── HostNotAllowedError      dataset.host_not_allowed
    │   ├── HubNotAllowedError       dataset.hub_not_allowed
    │   ├── DatasetDeniedError       dataset.denied
    │   ├── UntrustedServerError     dataset.untrusted_server
    │   ├── DatasetTooLargeError     dataset.too_large
    │   ├── WebPageError             dataset.web_page
    │   ├── DatasetNotFoundError     dataset.not_found
    │   ├── NotAnArchiveError        dataset.not_an_archive
    │   ├── DamagedArchiveError      dataset.damaged
    │   ├── TooManyFilesError        dataset.too_many_files
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

from collections.abc import Iterator
from typing import ClassVar


class DdoqError(Exception):
    """What nobody foresaw; the base of everything that a caller can understand and act on, by its `hint`."""

    code: ClassVar[str] = "internal"
    hint: ClassVar[str] = "Look in the server's log under the request_id, and report what it says."


class AddressRefusedError(DdoqError):
    """The host leads to an address that may not be reached from here."""

    code = "address.refused"
    hint: ClassVar[str] = (
        "Use a server with a public address, or ask the operator to add its network to `DDOQ_PRIVATE_NETWORKS`."
    )


class ConfigError(DdoqError):
    """The config is not one that can be run."""

    code = "config.invalid"
    hint = "Change the field that the message names."


class DatasetError(DdoqError):
    """The dataset cannot be distilled as it is."""

    code = "dataset.invalid"
    hint = "Change the dataset as the message says."


class UnknownSchemeError(DatasetError):
    """The dataset URI has a scheme that is not read here."""

    code = "dataset.unknown_scheme"
    hint = "Write the address as the message says, with a scheme that is read here."


class OutsideRootsError(DatasetError):
    """A `file://` dataset lies outside the folders that may be read."""

    code = "dataset.outside_roots"
    hint = "Move the data below a folder that may be read, or start the service with it as `--root`."


class BucketNotAllowedError(DatasetError):
    """An `s3://` dataset lies in a bucket that may not be read."""

    code = "dataset.bucket_not_allowed"
    hint = "Use a bucket that is allowed, or add this one to `DDOQ_DATASET_BUCKETS`."


class DatasetUriError(DatasetError):
    """The dataset URI is not written as its scheme asks."""

    code = "dataset.uri"
    hint: ClassVar[str] = "Write the URI as docs/datasets.md shows for its scheme."


class HostNotAllowedError(DatasetError):
    """An `https://` dataset lies on a host that may not be read."""

    code = "dataset.host_not_allowed"
    hint: ClassVar[str] = "Use an allowed host, or ask the operator to add this one to `DDOQ_DATASET_HOSTS`."


class HubNotAllowedError(DatasetError):
    """An `hf://` dataset is not among those that may be read."""

    code = "dataset.hub_not_allowed"
    hint: ClassVar[str] = "Use an allowed dataset, or ask the operator to add this one to `DDOQ_HUB_DATASETS`."


class DatasetDeniedError(DatasetError):
    """The dataset's server wants credentials, and none are sent."""

    code = "dataset.denied"
    hint: ClassVar[str] = "Make the dataset public, give a presigned address, or copy it to a place that may be read."


class UntrustedServerError(DatasetError):
    """The dataset's server does not prove its name by a certificate that is trusted here."""

    code = "dataset.untrusted_server"
    hint: ClassVar[str] = "Mend the server's certificate, or ask the operator to set `SSL_CERT_FILE` to its authority."


class DatasetTooLargeError(DatasetError):
    """The dataset has more bytes than may be fetched."""

    code = "dataset.too_large"
    hint: ClassVar[str] = "Send a smaller dataset, or ask the operator to raise `DDOQ_MAX_DATASET_BYTES`."


class WebPageError(DatasetError):
    """There is a web page at the dataset URI, not a file."""

    code = "dataset.web_page"
    hint: ClassVar[str] = "Give the address of the file itself: often the page asks to log in, or has a link to it."


class DatasetNotFoundError(DatasetError):
    """There is nothing at the dataset URI."""

    code = "dataset.not_found"
    hint = "Check the address."


class NotAnArchiveError(DatasetError):
    """The file at the dataset URI is neither an archive (zip or tar) nor Parquet."""

    code = "dataset.not_an_archive"
    hint = "Pack the class folders as a zip or tar."


class DamagedArchiveError(DatasetError):
    """The archive or Parquet file breaks off or contradicts itself."""

    code = "dataset.damaged"
    hint = "Pack or copy it again, and compare checksums."


class TooManyFilesError(DatasetError):
    """The archive holds more members, or more of their names, than can be listed."""

    code = "dataset.too_many_files"
    hint: ClassVar[str] = "Send the images as Parquet, or in several archives."


class NoClassesError(DatasetError):
    """No images with labels were found."""

    code = "dataset.no_classes"
    hint = "Put the images of each class into a folder of its own."


class OneClassError(DatasetError):
    """There is only one class, so there is nothing to tell apart."""

    code = "dataset.one_class"
    hint = "Add a second class."


class UnknownClassError(DatasetError):
    """`dataset.class_names` or `dataset.class_map` names a class that the dataset does not have."""

    code = "dataset.unknown_class"
    hint = "Correct the name in `dataset.class_names`."


class EmptyClassError(DatasetError):
    """A class has fewer distinct images than `images_per_class`."""

    code = "dataset.empty_class"
    hint = "Lower `images_per_class`, or leave the class out."


class NoColumnError(DatasetError):
    """A table (Parquet, CSV or JSON beside images) lacks the image or the label column, or one of a usable type."""

    code = "dataset.no_column"
    hint = "Set `dataset.image_column` and `dataset.label_column`."


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
    hint = "Repair or remove the images that the message names, or raise `dataset.max_bad_share`."


class DatasetChangedError(DatasetError):
    """The dataset changed between two stages of one job."""

    code = "dataset.changed"
    hint = "Submit the job again once the dataset is final."


class DatasetUnavailableError(DatasetError):
    """The dataset's server does not answer, or fails; later it may not."""

    code = "dataset.unavailable"
    hint = "Wait, and see the dataset's own server if it goes on."


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


class ArchiveError(DdoqError):
    """The file is not a complete, undamaged distilled archive."""

    code = "archive.invalid"
    hint = "Download it again, and compare its sha256."


def kinds_of_error(base: type[DdoqError] = DdoqError) -> Iterator[type[DdoqError]]:
    """Walk `base` and every class below it that has been imported."""
    yield base
    for kind in base.__subclasses__():
        yield from kinds_of_error(kind)


def hint_of(code: str) -> str:
    """Tell what to do about a code; of one that is not known here, such as a newer worker's, what is always true."""
    return next((kind.hint for kind in kinds_of_error() if kind.code == code), DdoqError.hint)
