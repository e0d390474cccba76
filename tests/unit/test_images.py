import csv
import io
import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from ddoq.image_rules import UnreadableImageError
from ddoq.images import contact_sheet, encode_png
from ddoq.pictures import decode, fit_square, pad_square

# Sound for Pillow, refused by our rules: other formats, and more than 64 million pixels.
REFUSED_BY_RULE = {"avif_hopper.avif", "rgba.psd", "made_big_13000x13000.png"}


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))).save(file, kind, **options)
    return file.getvalue()


def pixels_of(data, resolution, aspect="crop"):
    return np.asarray(decode(data, resolution, aspect)[0])


def test_every_odd_image_decodes_or_is_refused_as_the_manifest_says(shared_data):
    folder = shared_data / "odd-images"
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    decoded, expected = set(), set()
    for row in rows:
        if row["pillow_13_0_result"] == "ok" and row["file"] not in REFUSED_BY_RULE:
            expected.add(row["file"])
        try:
            image, size = decode((folder / row["file"]).read_bytes(), 16)
        except UnreadableImageError:
            continue
        assert (image.mode, image.size, f"{size[0]}x{size[1]}") == ("RGB", (16, 16), row["size"])
        decoded.add(row["file"])
    assert len(rows) == 77
    assert decoded == expected


def test_decoding_odd_images_in_threads_lets_no_warning_through(shared_data):
    folder, raised = shared_data / "odd-images", list[Exception]()
    warning = [folder / name for name in ("pil123p.png", "oom-225817ca.tif", "made_big_13000x13000.png")]

    def decode_all():
        for data in [path.read_bytes() for path in warning] * 5:
            try:
                decode(data, 8)
            except UnreadableImageError as error:
                if isinstance(error.__cause__, Warning):
                    raised.append(error)

    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=decode_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (recorded, raised) == ([], [])


def test_an_image_of_the_wanted_size_is_kept_pixel_for_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (pixels_of(encoded(pixels), 16) == pixels).all()


def test_the_central_square_is_kept():
    pixels = np.zeros((8, 20, 3), dtype=np.uint8)
    pixels[:, 6:14] = 200
    assert (pixels_of(encoded(pixels), 8) == 200).all()


@pytest.mark.parametrize("turned", [False, True])
def test_the_whole_image_is_kept_between_grey_bars(turned):
    pixels = np.full((8, 16, 3), 200, dtype=np.uint8)
    padded = pixels_of(encoded(pixels.swapaxes(0, 1) if turned else pixels), 16, "pad")
    bars = padded.swapaxes(0, 1) if turned else padded
    assert (bars[4:12] == 200).all()
    assert (bars[:4] == 128).all()
    assert (bars[12:] == 128).all()


def test_a_grey_image_between_bars_has_equal_channels():
    padded = pixels_of(encoded(np.full((4, 8), 99, dtype=np.uint8)), 8, "pad")
    assert (padded[2:6] == 99).all()
    assert (padded[:2] == 128).all()


@pytest.mark.parametrize("aspect", ["crop", "pad"])
def test_a_square_image_of_the_wanted_size_is_kept_whatever_the_aspect(aspect):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (pixels_of(encoded(pixels), 16, aspect) == pixels).all()


def test_a_thread_of_an_image_is_still_a_pixel_wide_between_bars():
    colours = pad_square(Image.new("RGB", (1000, 1), "white"), 8).getcolors()
    assert sorted(colours) == [(8, (255,) * 3), (56, (128,) * 3)]


def test_the_size_as_stored_is_reported_for_a_jpeg_that_is_decoded_at_a_fraction():
    assert decode(encoded(np.zeros((600, 900, 3), dtype=np.uint8), "JPEG"), 8)[1] == (900, 600)


def test_decoding_a_jpeg_at_a_fraction_hardly_changes_the_result(shared_data):
    data = (shared_data / "odd-images" / "truncated_exif_dpi.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        whole = np.asarray(fit_square(image.convert("RGB"), 32)).astype(int)
    assert np.abs(pixels_of(data, 32) - whole).mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation, shared_data):
    name = "hopper.jpg" if orientation == 1 else f"hopper_orientation_{orientation}.jpg"
    upright = pixels_of((shared_data / "odd-images" / "hopper.jpg").read_bytes(), 32).astype(int)
    turned = pixels_of((shared_data / "odd-images" / name).read_bytes(), 32).astype(int)
    assert np.abs(turned - upright).mean() < 8


def test_what_is_transparent_is_white():
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    assert (pixels_of(encoded(pixels), 8) == 255).all()


def test_what_is_half_transparent_is_mixed_with_white():
    pixels = np.full((8, 8, 4), (0, 0, 0, 128), dtype=np.uint8)
    assert (pixels_of(encoded(pixels), 8) == 127).all()


def test_a_palette_colour_marked_transparent_is_white():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert (pixels_of(encoded(image, transparency=1), 8) == 255).all()


def test_sixteen_bit_grey_is_scaled_to_eight():
    pixels = np.full((8, 8), 65535 // 2, dtype=np.uint16)
    assert (pixels_of(encoded(pixels), 8) == 127).all()


def test_grey_becomes_equal_channels():
    assert (pixels_of(encoded(np.full((8, 8), 99, dtype=np.uint8)), 8) == 99).all()


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = pixels_of(encoded(image, "TIFF"), 8)[4, 4]
    assert red > 200
    assert max(green, blue) < 60


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnreadableImageError, match="floating-point"):
        decode(encoded(np.zeros((8, 8), dtype=np.float32), "TIFF"), 8)


def test_only_the_first_frame_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    assert tuple(pixels_of(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 8)[0, 0]) == (255, 0, 0)


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(UnreadableImageError, match="8001 x 8000 pixels are too many; at most 64 million"):
        decode(encoded(Image.new("1", (8001, 8000))), 8)


def test_formats_outside_the_list_are_refused_by_name():
    with pytest.raises(UnreadableImageError, match="JPEG, PNG, WEBP"):
        decode(encoded(np.zeros((8, 8, 3), dtype=np.uint8), "ICO"), 8)


def test_every_truncation_of_a_png_is_refused():
    data = encoded(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for length in range(0, len(data) - 32, 7):  # the end holds checksums and a marker, no pixel
        with pytest.raises(UnreadableImageError):
            decode(data[:length], 8)


def test_a_png_gives_back_its_pixels():
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with Image.open(io.BytesIO(encode_png(image))) as read:
        assert (np.asarray(read).transpose(2, 0, 1) == image.numpy()).all()


def test_the_same_pixels_give_the_same_png():
    image = torch.arange(3 * 8 * 8).reshape(3, 8, 8).to(torch.uint8)
    assert encode_png(image) == encode_png(image.clone())


def test_small_images_are_enlarged_on_a_contact_sheet():
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    with Image.open(io.BytesIO(contact_sheet(images, ["a caption"] * 5))) as sheet:
        black = (np.asarray(sheet.convert("L"))[6:70, 6:70] == 0).all()
        assert sheet.width > 3 * 64
        assert black


def test_a_contact_sheet_keeps_images_of_64_pixels_and_more_as_they_are():
    images = torch.randint(0, 256, (1, 3, 70, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with Image.open(io.BytesIO(contact_sheet(images, [""]))) as sheet:
        assert (np.asarray(sheet)[6:76, 6:86].transpose(2, 0, 1) == images[0].numpy()).all()


def test_a_long_caption_does_not_reach_the_next_image():
    images = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8)
    with Image.open(io.BytesIO(contact_sheet(images, ["W" * 40, ""]))) as sheet:
        pixels = np.asarray(sheet.convert("L"))
        assert (pixels[:, :70] < 128).any()
        assert (pixels[:, 72:] == 255).all()
