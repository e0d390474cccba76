"""What soft labels take, known before any work."""

from collections.abc import Mapping

from ddoq.augment import Normalise, make_augmentation
from ddoq.config import DistillConfig
from ddoq.errors import LabelsTooLargeError
from ddoq.protocols import Protocol


def n_shown(protocol: Protocol, n_images: int, n_classes: int) -> int:
    """Count what a student of `n_images` is shown from first to last, an image as often as it is."""
    if protocol.steps is None:
        return protocol.n_epochs(n_images, n_classes) * n_images
    return protocol.steps * protocol.batch_size(n_images, n_classes)


def label_bytes(protocol: Protocol, n_images: int, n_classes: int) -> int:
    """Count the bytes of a distilled set's soft labels, views and rows included, headers of files not."""
    if protocol.labels in {"hard", "live"}:
        return 0
    if protocol.labels == "fixed":
        return 2 * n_images * n_classes
    n_numbers = make_augmentation(protocol.augment, Normalise((0, 0, 0), (1, 1, 1))).n_numbers
    an_image, a_step = 4 + 2 * n_numbers + 2 * n_classes, 4
    if protocol.augment.cutmix:
        an_image, a_step = an_image + 2, a_step + 8
    n_steps, size = protocol.n_steps(n_images, n_classes), protocol.batch_size(n_images, n_classes)
    n_epochs = -(-n_steps // -(-n_images // size))
    return n_shown(protocol, n_images, n_classes) * an_image + n_steps * a_step + 2 * n_epochs


def require_room(config: DistillConfig, n_images: Mapping[str, int], n_classes: int) -> None:
    """Check that the soft labels of no budget are larger than the config allows.

    Args:
        config: The distillation.
        n_images: Distilled images of each budget, by name.
        n_classes: Logits a label.

    Raises:
        LabelsTooLargeError: they are.
    """
    if config.teacher is None:
        return
    protocol, most = config.resolved_protocol, config.teacher.max_label_bytes
    for name, n in n_images.items():
        if (size := label_bytes(protocol, n, n_classes)) > most:
            raise LabelsTooLargeError(
                f"{protocol.labels} soft labels of {name} take {size:,} bytes ({n:,} images, {n_classes:,} classes, "
                f"{n_shown(protocol, n, n_classes):,} views), more than teacher.max_label_bytes, "
                f"{most:,}; raise it to that, set teacher.labels to 'live', which stores none, or ask for fewer images "
                "or students.steps"
            )
