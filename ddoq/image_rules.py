"""What is read as an image, and what is said of the others. Loads neither torch nor Pillow."""

from dataclasses import dataclass
from typing import Final, Literal

MAX_PIXELS: Final = 64_000_000
MAX_BYTES: Final = 64 * 2**20
TOO_LARGE: Final = f"the file is larger than the {MAX_BYTES >> 20} MiB that are read"
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
Aspect = Literal["crop", "pad"]


class UnreadableImageError(ValueError):
    """These bytes are not an image that is read here; the message is the reason."""


@dataclass(frozen=True)
class BadImage:
    """An image of a class that could not be decoded, and why."""

    key: str
    reason: str
