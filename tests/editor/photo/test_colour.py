"""Every colour mode that Pillow decodes becomes 8-bit RGB."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from editor.errors import DECODER_ERRORS
from editor.photo.colour import scale_to_8_bit, to_rgb
from editor.photo.png_colour import profile_of_chunks
from editor.photo.reading import load_photo
from tests.helpers.hand_made import chunk, png
from tests.helpers.pictures import encoded, picture


def test_cmyk_jpegs_look_like_the_rgb_they_came_from():
    flat = np.full((40, 40, 3), (200, 60, 30), np.uint8)
    data = encoded(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=95)  # in Adobe's inverted form
    assert b"Adobe" in data
    assert np.abs(load_photo(data).astype(int) - flat).max() <= 4


def test_16_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    expected = np.rint(ramp / 257).astype(np.uint8)
    for fmt in ("PNG", "TIFF"):
        np.testing.assert_array_equal(load_photo(encoded(ramp, fmt))[..., 1], expected)


@pytest.mark.parametrize(
    ("dtype", "top", "expected_top"),
    [
        (np.int32, 255, 255),
        (np.int32, 200, 200),
        (np.int32, 65535, 255),
        (np.int32, 10**9, 255),
        (np.float32, 1.0, 255),
        (np.float32, 0.5, 128),
        (np.float32, 255.0, 255),
        (np.float32, 65535.0, 255),
    ],
)
def test_wide_grey_modes_are_scaled_by_the_smallest_fitting_range(dtype, top, expected_top):
    ramp = np.linspace(0, top, 40 * 40).reshape(40, 40).astype(dtype)
    pixels = load_photo(encoded(ramp, "TIFF"))
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (0, expected_top)
    assert (np.diff(pixels[..., 0].ravel().astype(int)) >= 0).all()


def test_negative_and_non_finite_greys_are_stretched_between_the_finite_extremes():
    values = np.array([[-2.0, 0.0, 2.0, np.nan, np.inf, -np.inf]], np.float32)
    assert scale_to_8_bit(values, from_16_bit=False).tolist() == [[0, 128, 255, 128, 255, 0]]
    assert scale_to_8_bit(np.full((1, 2), np.nan), from_16_bit=False).tolist() == [[0, 0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(mode):
    image = Image.new(mode, (40, 40), (0, 0, 0, 128) if mode == "RGBA" else (0, 128))
    image.paste(Image.new(mode, (20, 40), 0), (0, 0))
    pixels = load_photo(encoded(image, "PNG"))
    assert (pixels[:, :20] == 255).all()
    assert np.abs(pixels[:, 20:].astype(int) - 127).max() <= 1


def test_palette_pictures_keep_colours_and_transparency():
    image = Image.new("P", (40, 40), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 20, 40))
    assert load_photo(encoded(image, "PNG"))[0, [0, 39]].tolist() == [[10, 20, 30], [200, 100, 50]]
    for fmt in ("PNG", "GIF"):
        pixels = load_photo(encoded(image, fmt, transparency=0))
        assert pixels[0, [0, 39]].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_transparent_colour_of_an_rgb_png_becomes_white():
    image = Image.new("RGB", (40, 40), (1, 2, 3))
    assert (load_photo(encoded(image, "PNG", transparency=(1, 2, 3))) == 255).all()


def test_one_bit_pictures_are_black_and_white():
    image = Image.new("1", (40, 40), 0)
    image.paste(1, (0, 0, 20, 40))
    assert load_photo(encoded(image, "PNG"))[0, [0, 39]].tolist() == [[255] * 3, [0] * 3]


def test_a_fitting_colour_profile_is_followed_and_others_ignored():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (lab, srgb, srgb[:200], b"nonsense"):
        np.testing.assert_array_equal(load_photo(encoded(picture(), "PNG", icc_profile=profile)), picture())
    # With the red and green primaries of the profile swapped, red and green must come out swapped.
    swapped = srgb.replace(b"rXYZ", b"tmp ").replace(b"gXYZ", b"rXYZ").replace(b"tmp ", b"gXYZ")
    swapped = swapped.replace(b"s\0R\0G\0B", b"x\0R\0G\0B").replace(b"sRGB", b"xRGB")
    found = load_photo(encoded(picture(), "PNG", icc_profile=swapped)).astype(int)
    assert np.abs(found - picture()[..., [1, 0, 2]]).max() <= 2


def linear_profile(name, space="RGB "):
    """A profile of light itself, which calls itself `name`."""
    light = profile_of_chunks({"gamma": 1.0}, grey=space == "GRAY")
    described = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(1 + 78)
    count = struct.unpack(">I", light[128:132])[0]
    table = [list(struct.unpack(">4sII", light[at : at + 12])) for at in range(132, 132 + 12 * count, 12)]
    table = [[b"desc", len(light), len(described)] if entry[0] == b"desc" else entry for entry in table]
    entries = b"".join(struct.pack(">4sII", *entry) for entry in table)
    whole = light[4:132] + entries + light[132 + 12 * count :] + described
    return struct.pack(">I", len(whole) + 4) + whole


def from_linear(levels):
    """IEC 61966-2-1; light in 0..255 -> levels."""
    light = levels / 255
    return np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("name", ["GIMP built-in Linear sRGB", "sRGB", "Linear light"])
def test_a_profile_is_judged_by_what_it_does_and_not_by_its_name(name):
    profile = linear_profile(name)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert ImageCms.getProfileDescription(opened).strip() == name
    found = load_photo(encoded(picture(), "PNG", icc_profile=profile))
    assert np.abs(found - from_linear(picture())).max() <= 1


def test_a_profile_of_srgb_leaves_every_level_whatever_its_name():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = srgb.replace(b"s\0R\0G\0B", b"x\0R\0G\0B").replace(b"sRGB", b"xRGB")
    assert renamed != srgb
    np.testing.assert_array_equal(load_photo(encoded(picture(), "PNG", icc_profile=renamed)), picture())


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "L and a transparent grey"])
def test_a_profile_of_greys_is_followed_in_every_grey_mode(mode, fmt):
    grey = picture()[..., 0]
    image, options = Image.fromarray(grey), {}
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "LA":
        image = Image.merge("LA", [image, Image.new("L", image.size, 255)])
    elif mode.startswith("L and"):
        options = {"transparency": 255} if fmt == "PNG" else {}
    else:
        image = image.convert(mode)
    levels = np.array(image.convert("L")) if mode == "1" else grey
    data = encoded(image, fmt, icc_profile=linear_profile("greys", "GRAY"), **options)
    assert np.abs(load_photo(data) - from_linear(levels)[..., None]).max() <= 1


def test_a_profile_of_greys_is_followed_in_16_bit_grey_with_alpha():
    grey = picture()[..., :1].astype(np.uint16) * 257
    body = b"greys\0\0" + zlib.compress(linear_profile("greys", "GRAY"))
    data = png(np.dstack([grey, np.full_like(grey, 65535)]), chunk(b"iCCP", body), bits=16)
    assert np.abs(load_photo(data) - from_linear(picture()[..., :1])).max() <= 1


def test_a_profile_of_greys_is_ignored_in_colours_and_one_of_colours_in_greys():
    greys, colours = linear_profile("greys", "GRAY"), linear_profile("colours")
    np.testing.assert_array_equal(load_photo(encoded(picture(), "PNG", icc_profile=greys)), picture())
    grey = picture()[..., 0]
    found = load_photo(encoded(grey, "PNG", icc_profile=colours))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, 2))


def test_deep_greys_of_other_ranges_follow_their_profile():
    ramp = np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40)
    data = encoded(ramp, "TIFF", icc_profile=linear_profile("greys", "GRAY"))
    assert np.abs(load_photo(data)[..., 0] - from_linear(255 * ramp)).max() <= 1


def test_to_rgb_of_a_damaged_unloaded_image_raises_a_decoder_error():
    data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "PNG")
    with Image.open(io.BytesIO(data[:2000])) as image, pytest.raises(DECODER_ERRORS):
        to_rgb(image)


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB", "RGBX", "RGBa", "La", "PA"])
def test_rare_modes_become_rgb(mode):
    assert load_photo(Image.new(mode, (40, 40))).shape == (40, 40, 3)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "I;16", "I", "F"]
)
@pytest.mark.parametrize("band", [1, 40, 10**6])
def test_bands_change_nothing(monkeypatch, mode, band):
    noise = np.random.default_rng(0).integers(0, 256, (23, 17, 4), np.uint8)
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray(noise[..., 0].astype(dtype) * 3)
    else:
        image = Image.fromarray(noise, "RGBA").convert("RGBA" if mode == "RGBa" else "RGB").convert(mode)
    whole = to_rgb(image)
    monkeypatch.setattr("editor.photo.colour.BAND", band)
    assert np.array_equal(to_rgb(image), whole)


def test_whether_a_picture_is_grey_is_not_decided_by_bands(monkeypatch):
    pixels = np.full((8, 8, 3), 90, np.uint8)
    pixels[7, 7] = (200, 10, 10)  # one coloured pixel
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = linear_profile("greys", "GRAY")
    whole = to_rgb(image)
    monkeypatch.setattr("editor.photo.colour.BAND", 8)
    assert np.array_equal(to_rgb(image), whole)
