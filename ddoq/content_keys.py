"""What results are known by in a cache: digests of everything that they depend on."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ddoq.config import DistillConfig

MODEL_FILES = (".json", ".safetensors")


def content_key(config: DistillConfig, fingerprint: str, class_names: Sequence[str], **further: object) -> str:
    """Answer the SHA-256 (hex) of the training images that a config leaves, and of all else that a result depends on.

    Args:
        config: Its dataset, but for where that is, and what of it is held out.
        fingerprint: Of the dataset.
        class_names: In label order.
        further: What else the result depends on, by name, in values that JSON knows.
    """
    parts = {
        "fingerprint": fingerprint,
        "dataset": config.dataset.model_dump(exclude={"uri", "class_names", "max_bad_share"}),
        "validation_share": config.validation_share,
        "class_names": list(class_names),
        **further,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def model_content(model: str | None, *patterns: str) -> str | dict[str, str] | None:
    """Say what a model is known by: the digests of a local folder's files that match, or its hub id."""
    if model is None or not Path(model).is_dir():
        return model
    digests = {}
    for path in sorted(path for pattern in patterns for path in Path(model).glob(pattern)):
        if path.suffix in MODEL_FILES:
            with path.open("rb") as file:
                digests[path.relative_to(model).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
