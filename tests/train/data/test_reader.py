"""Training and evaluation read every picture as the app does, to the last level."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from editor.errors import ImageInputError
from editor.photo import heif
from editor.photo.reading import SUFFIXES, load_photo
from tests.helpers.hand_made import png, tiff
from tests.helpers.pictures import encoded, picture
from train.data.images import decode_image, find_images, read_images
from train.errors import DatasetError

SIDE = 40
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
DEEP_MODES = ("I", "I;16", "F")
SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
SUFFIX |= {"AVIF": ".avif", "MPO": ".mpo"}


def in_mode(mode):
    if mode in DEEP_MODES:
        dtype = {"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]
        return Image.fromarray((picture(SIDE, SIDE)[..., 0] * 257.0).astype(dtype))
    image = Image.fromarray(picture(SIDE, SIDE))
    if mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        image.putalpha(Image.fromarray(picture(SIDE, SIDE)[..., 1]))
    for step in {"La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "PA": ("P", "PA"), "LAB": ("LAB",)}.get(
        mode, (mode,)
    ):
        image = to_lab(image) if step == "LAB" else image.convert(step)
    return image


def to_lab(image):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")


def files_of_all_kinds():
    """Every mode in every format that Pillow writes it in, with and without a turn."""
    for fmt in SUFFIX:
        for mode in (*MODES, *DEEP_MODES):
            for orientation in (1, 6):
                exif = Image.Exif()
                exif[274] = orientation
                try:
                    data = encoded(in_mode(mode), fmt, exif=exif)
                except (OSError, KeyError, ValueError):
                    continue
                yield pytest.param(data, SUFFIX[fmt], id=f"{fmt}-{mode}-{orientation}")


def refused_or_read(read, *arguments):
    """The pixels, or what a picture that cannot be read right is refused with, besides its name."""
    try:
        return read(*arguments)
    except (ImageInputError, DatasetError) as error:
        return str(error)[str(error).index(" is a TIFF of 3 x 8-bit unsigned integer samples (YCbCr)") :]


def trained_on(folder):
    (pixels,) = torch.cat(list(read_images(find_images(str(folder)), SIDE, 4))).numpy()
    return pixels


@pytest.mark.parametrize(("data", "suffix"), files_of_all_kinds())
def test_a_picture_is_the_same_to_the_app_and_to_training(data, suffix, tmp_path):
    expected = refused_or_read(load_photo, data)
    (tmp_path / f"a{suffix}").write_bytes(data)
    np.testing.assert_array_equal(refused_or_read(load_photo, tmp_path / f"a{suffix}"), expected)
    np.testing.assert_array_equal(refused_or_read(trained_on, tmp_path), expected)
    np.testing.assert_array_equal(refused_or_read(decode_image, data, SIDE, "a"), expected)


def test_every_kind_was_tried():
    kinds = {tuple(param.id.split("-")[:2]) for param in files_of_all_kinds()}
    formats = {fmt for fmt, _ in kinds}
    assert formats >= {"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO"}
    assert {("PNG", "I;16"), ("TIFF", "F"), ("JPEG", "CMYK"), ("TIFF", "LAB"), ("WEBP", "RGBA")} <= kinds


def test_a_turned_picture_is_trained_on_upright():
    exif = Image.Exif()
    exif[274] = 6
    found = decode_image(encoded(picture(SIDE, SIDE), "PNG", exif=exif), SIDE, "a")
    np.testing.assert_array_equal(found, np.rot90(picture(SIDE, SIDE), -1))


def test_deep_grey_is_scaled_and_alpha_laid_on_white_in_training():
    grey = picture(SIDE, SIDE)[..., 0]
    found = decode_image(png(grey.astype(np.uint16) * 257, bits=16), SIDE, "a")
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, 2))
    clear = np.dstack([picture(SIDE, SIDE), np.zeros((SIDE, SIDE), np.uint8)])
    assert (decode_image(png(clear), SIDE, "a") == 255).all()


def test_a_picture_is_square_after_its_turn_and_shrunk_by_area():
    exif = Image.Exif()
    exif[274] = 6
    upright = np.rot90(picture(64, 64), -1)
    expected = np.array(Image.fromarray(upright).resize((32, 32), Image.Resampling.BOX))
    found = decode_image(encoded(picture(64, 64), "PNG", exif=exif), 32, "a")
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(DatasetError, match=r"^a: 48 x 64 pixels; expected a cropped square"):
        decode_image(encoded(picture(64, 48), "PNG", exif=exif), 32, "a")


def test_what_the_app_refuses_by_name_training_refuses_with_the_picture_s_name():
    data = tiff(np.zeros((SIDE, SIDE), np.int16), 1)
    with pytest.raises(DatasetError, match=r"^faces: s/7\.tif is a TIFF of 16-bit signed integer samples"):
        decode_image(data, SIDE, "faces: s/7.tif")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG", ".Jfif"])
def test_no_suffix_of_the_app_s_formats_is_dropped(suffix, tmp_path):
    fmt = Image.registered_extensions().get(suffix.lower(), "BMP")
    data = encoded(picture(SIDE, SIDE), "BMP" if fmt == "DIB" else fmt)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"a{suffix}").write_bytes(data)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo(f"a{suffix}")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    for source in ("folder", "a.tar"):
        np.testing.assert_array_equal(trained_on(tmp_path / source), load_photo(data))


def test_the_suffixes_are_all_that_pillow_has_for_the_app_s_formats():
    formats = {"PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}
    found = {suffix for suffix, fmt in Image.registered_extensions().items() if fmt in formats}
    assert found | {".dib", ".avif", ".avifs", *heif.SUFFIXES} == set(SUFFIXES)
