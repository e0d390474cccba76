"""Encoded bytes of an image -> a square picture. Knows Pillow, as `ddoq.images` does; loads no torch."""

import io
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ddoq.image_rules import FORMATS, MAX_PIXELS, Aspect, UnreadableImageError

# Loaded at once: for a format that it lacks Pillow would load all that it has.
_PLUGINS: Final = (
    *(BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin),
    *(PpmImagePlugin, TiffImagePlugin, WebPImagePlugin),
)
_PIXELS_AT_A_TIME: Final = 1 << 20
_MID_GREY: Final = "#808080"
_REDUCING_GAP: Final = 3.0  # Pillow: with 3.0 and more the result is almost that of fair resampling
_ORIENTATION_TAG: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders are known to raise on hostile bytes.
_PILLOW_RAISES: Final = (
    ArithmeticError, AssertionError, AttributeError, EOFError, Image.DecompressionBombError, LookupError, MemoryError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_IGNORE_PILLOW: Final = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def decode(data: bytes, resolution: int, aspect: Aspect = "crop") -> tuple[Image.Image, tuple[int, int]]:
    """Decode the first frame of an image, upright, on white, as a square.

    Colour profiles are not applied. 16-bit grey is scaled from its whole range, transparency is laid on white.

    Args:
        data: A whole file in one of `FORMATS`, at most `MAX_PIXELS` large.
        resolution: Side of the square in pixels, >= 1.
        aspect: How an oblong image becomes a square: its middle ("crop"), or the whole between grey bars ("pad").

    Returns:
        An 8-bit RGB image of `resolution` x `resolution`, and (width, height) as they were stored.

    Raises:
        UnreadableImageError: anything that is no such image, or breaks off. No other error, no warning.
    """
    _silence_pillow()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            size = _checked_size(image)
            image.draft(None, _draft_size(resolution))
            image.load()  # before getexif(), which would swallow the error of a broken PNG
            fit = FITS[aspect]
            return fit(_flatten(_turn_upright(image)), resolution).convert("RGB"), size
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"not an image in a format that is read ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise UnreadableImageError("it takes more memory to decode than an image is given") from error
    except _PILLOW_RAISES as error:
        raise UnreadableImageError(_ADDRESS.sub("", f"{type(error).__name__}: {error}")) from error


def fit_square(image: Image.Image, resolution: int) -> Image.Image:
    """Resize the central square of `image` (8 bits a channel) to `resolution` x `resolution` pixels by Lanczos."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, box, _REDUCING_GAP)


def pad_square(image: Image.Image, resolution: int) -> Image.Image:
    """Resize the whole of `image` (8 bits a channel) to the longer side `resolution`, mid-grey bars beside it."""
    scale = resolution / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.LANCZOS, None, _REDUCING_GAP)
    square = Image.new(image.mode, (resolution, resolution), _MID_GREY)
    square.paste(resized, ((resolution - width) // 2, (resolution - height) // 2))
    return square


FITS: Final[Mapping[Aspect, Callable[[Image.Image, int], Image.Image]]] = {"crop": fit_square, "pad": pad_square}


def _silence_pillow() -> None:
    """Keep Pillow's remarks off stderr; unlike `catch_warnings` this is right in threads."""
    if _IGNORE_PILLOW not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _checked_size(image: Image.Image) -> tuple[int, int]:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{image.width} x {image.height} pixels are too many; at most {MAX_PIXELS // 10**6} million are read"
        )
    return image.size


def _draft_size(resolution: int) -> tuple[int, int]:
    side = math.ceil(resolution * _REDUCING_GAP)
    return side, side


def _turn_upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image) -> Image.Image:
    """Bring any mode to L or RGB, transparent parts white."""
    if image.mode.startswith("I"):
        return _scale_16_bits(image)
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no agreed range; store 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _scale_16_bits(image: Image.Image) -> Image.Image:
    """Scale some rows at a time: as integers that do not overflow, all of them would take four times the image."""
    import numpy as np  # late, for no other image needs it

    scaled, n_rows = Image.new("L", image.size), max(1, _PIXELS_AT_A_TIME // image.width)
    for top in range(0, image.height, n_rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + n_rows, image.height)))).astype(np.int64)
        rows = (values.clip(0, 65535) + 128) // 257
        rows[values == image.info.get("transparency", -1)] = 255
        scaled.paste(Image.fromarray(rows.astype(np.uint8)), (0, top))
    return scaled
