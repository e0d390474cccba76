"""Datasets that cannot be distilled: a branch of the tree that `ddoq.errors` draws."""

from ddoq.errors.base import DdoqError


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
    hint = "Write the URI as docs/datasets.md shows for its scheme."


class HostNotAllowedError(DatasetError):
    """An `https://` dataset lies on a host that may not be read."""

    code = "dataset.host_not_allowed"
    hint = "Use an allowed host, or ask the operator to add this one to `DDOQ_DATASET_HOSTS`."


class HubNotAllowedError(DatasetError):
    """An `hf://` dataset is not among those that may be read."""

    code = "dataset.hub_not_allowed"
    hint = "Use an allowed dataset, or ask the operator to add this one to `DDOQ_HUB_DATASETS`."


class DatasetDeniedError(DatasetError):
    """The dataset's server wants credentials, and none are sent."""

    code = "dataset.denied"
    hint = "Make the dataset public, give a presigned address, or copy it to a place that may be read."


class UntrustedServerError(DatasetError):
    """The dataset's server does not prove its name by a certificate that is trusted here."""

    code = "dataset.untrusted_server"
    hint = "Mend the server's certificate, or ask the operator to set `SSL_CERT_FILE` to its authority."


class DatasetTooLargeError(DatasetError):
    """The dataset has more bytes than may be fetched."""

    code = "dataset.too_large"
    hint = "Send a smaller dataset, or ask the operator to raise `DDOQ_MAX_DATASET_BYTES`."


class WebPageError(DatasetError):
    """There is a web page at the dataset URI, not a file."""

    code = "dataset.web_page"
    hint = "Give the address of the file itself: often the page asks to log in, or has a link to it."


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
    hint = "Send the images as Parquet, or in several archives."


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
    hint = "Leave `dataset.format` out, or name a format that the message says was found."


class BadCsvError(DatasetError):
    """The CSV is no table of images: it is too large, no UTF-8, or names an image twice."""

    code = "dataset.bad_csv"
    hint = "Write the CSV as UTF-8 with a header and one row for each image."


class LabelNamesError(DatasetError):
    """`dataset.label_names` names integer labels, but the labels of the dataset are not all integers."""

    code = "dataset.label_names"
    hint = "Leave `dataset.label_names` out, or rename classes by `dataset.class_map`."


class UnknownSplitError(DatasetError):
    """`dataset.splits` names a split that the dataset does not have."""

    code = "dataset.unknown_split"
    hint = "Name a split that the message lists, or leave `dataset.splits` out."


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
