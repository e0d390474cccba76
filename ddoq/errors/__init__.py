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

from ddoq.errors.base import (
    AddressRefusedError,
    ArchiveError,
    ConfigError,
    DdoqError,
    hint_of,
    kinds_of_error,
)
from ddoq.errors.datasets import (
    BadCsvError,
    BadImagesError,
    BucketNotAllowedError,
    DamagedArchiveError,
    DatasetChangedError,
    DatasetDeniedError,
    DatasetError,
    DatasetNotFoundError,
    DatasetTooLargeError,
    DatasetUnavailableError,
    DatasetUriError,
    EmptyClassError,
    FormatError,
    HostNotAllowedError,
    HubNotAllowedError,
    LabelNamesError,
    NoClassesError,
    NoColumnError,
    NotAnArchiveError,
    OneClassError,
    OutsideRootsError,
    TooManyFilesError,
    UnknownClassError,
    UnknownSchemeError,
    UnknownSplitError,
    UntrustedServerError,
    WebPageError,
)
from ddoq.errors.models import (
    ClassIdError,
    LabelsTooLargeError,
    NotFiniteError,
    OutOfMemoryError,
    PriorError,
    PriorNotAllowedError,
    PriorNotFoundError,
    ResolutionError,
    TeacherError,
    TeacherNeededError,
    TeacherNotAllowedError,
    TeacherNotFoundError,
)

__all__ = [
    "AddressRefusedError",
    "ArchiveError",
    "BadCsvError",
    "BadImagesError",
    "BucketNotAllowedError",
    "ClassIdError",
    "ConfigError",
    "DamagedArchiveError",
    "DatasetChangedError",
    "DatasetDeniedError",
    "DatasetError",
    "DatasetNotFoundError",
    "DatasetTooLargeError",
    "DatasetUnavailableError",
    "DatasetUriError",
    "DdoqError",
    "EmptyClassError",
    "FormatError",
    "HostNotAllowedError",
    "HubNotAllowedError",
    "LabelNamesError",
    "LabelsTooLargeError",
    "NoClassesError",
    "NoColumnError",
    "NotAnArchiveError",
    "NotFiniteError",
    "OneClassError",
    "OutOfMemoryError",
    "OutsideRootsError",
    "PriorError",
    "PriorNotAllowedError",
    "PriorNotFoundError",
    "ResolutionError",
    "TeacherError",
    "TeacherNeededError",
    "TeacherNotAllowedError",
    "TeacherNotFoundError",
    "TooManyFilesError",
    "UnknownClassError",
    "UnknownSchemeError",
    "UnknownSplitError",
    "UntrustedServerError",
    "WebPageError",
    "hint_of",
    "kinds_of_error",
]
