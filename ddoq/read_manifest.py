"""What the read stage says when it is done. Torch-free."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadManifest:
    """What the read stage found: image files of each class, before any is decoded. `fingerprint` changes with them.

    `n_validation` are held out of those for training, which `n_train` leaves out; None where there is no validation.
    `remarks` are those on a teacher that is there already, for the report.
    """

    class_names: tuple[str, ...]
    n_train: tuple[int, ...]
    n_test: tuple[int, ...]
    n_validation: tuple[int, ...] | None
    held_out: bool
    left_out: tuple[str, ...]
    fingerprint: str
    remarks: tuple[str, ...] = ()
