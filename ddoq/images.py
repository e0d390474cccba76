"""Pixels -> PNG and contact sheets, and squares of other sides."""

import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, from_numpy

from ddoq.pictures import fit_square

_MIN_TILE, _MARGIN, _CAPTION, _FONT_SIZE, _MAX_COLUMNS = 64, 6, 16, 11, 20  # pixels, but for the columns


def fit_squares(images: UInt8[Tensor, "b 3 h w"], resolution: int) -> UInt8[Tensor, "b 3 r r"]:
    """Resize the central squares of RGB images as `fit_square` does; images of that side stay as they are."""
    if images.shape[-2:] == (resolution, resolution):
        return images
    squares = [np.array(fit_square(_as_picture(image), resolution)) for image in images]
    return from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def encode_png(image: UInt8[Tensor, "3 h w"]) -> bytes:
    """Encode an RGB image as PNG, the same bytes for the same pixels and the same Pillow."""
    return _png_bytes(_as_picture(image))


def contact_sheet(images: UInt8[Tensor, "m 3 h w"], captions: Sequence[str], columns: int | None = None) -> bytes:
    """Draw images in a grid, each above its caption, as PNG.

    Args:
        images: m >= 1 RGB images; those with a side under 64 pixels are enlarged by a whole factor.
        captions: One for each image, cut off where the next image begins.
        columns: Images a row; when left out, as many as make the sheet a square.

    Source: the caption's font is the one that Pillow carries.
    """
    height, width = images.shape[-2:]
    factor = max(1, -(-_MIN_TILE // min(height, width)))
    columns = columns or min(_MAX_COLUMNS, math.ceil(math.sqrt(len(images))))
    step_x, step_y = factor * width + _MARGIN, factor * height + _MARGIN + _CAPTION
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = _MARGIN + index % columns * step_x, _MARGIN + index // columns * step_y
        sheet.paste(_as_picture(image).resize((factor * width, factor * height), Image.Resampling.NEAREST), (x, y))
        text = _shorten(caption, factor * width, font)
        draw.text((x, y + factor * height + 2), text, fill=(34, 34, 34), font=font)
    return _png_bytes(sheet)


def _as_picture(image: UInt8[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0)))


def _png_bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _shorten(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
