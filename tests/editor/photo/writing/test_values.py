"""What was not edited keeps the file's own values; what was, moves by the edit."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from editor.photo.original import open_photo
from editor.photo.png_colour import profile_of_chunks
from editor.photo.reading import load_photo, turned_back, upright
from editor.photo.writing import changes, merging
from editor.photo.writing.saving import encode_photo
from editor.photo.writing.to_native import NativeColours
from tests.editor.photo.test_colour import linear_profile
from tests.helpers.hand_made import chunk, png, tiff
from tests.helpers.pictures import encoded, picture

P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
WIDE = profile_of_chunks({"gamma": 1 / 2.2, "chromaticity": P3}, grey=False)
GREYS = linear_profile("greys", "GRAY")
BOX = (slice(10, 30), slice(20, 50))
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (48, 64, 4)).astype(np.uint16)
ALPHA = np.tile(np.arange(64, dtype=np.uint8) * 4 + 3, (48, 1))
RGBA = np.dstack([picture(), ALPHA])


def palette(**options):
    image = Image.fromarray(picture()).quantize(32)
    return encoded(image, "PNG", **options)


def chunked(samples, gamma, **options):
    return png(samples, chunk(b"gAMA", round(gamma * 100_000).to_bytes(4, "big")), **options)


# What is opened, and its own values as a PNG holds them, by independent readers.
SOURCES = {
    "RGB": (encoded(picture(), "PNG"), picture()),
    "RGB, TIFF": (encoded(picture(), "TIFF"), picture()),
    "RGB, WebP": (encoded(picture(), "WEBP", lossless=True), picture()),
    "RGB, BMP": (encoded(picture(), "BMP"), picture()),
    "RGB, Display P3": (encoded(picture(), "PNG", icc_profile=WIDE), picture()),
    "RGB, Display P3, TIFF": (encoded(picture(), "TIFF", icc_profile=WIDE), picture()),
    "RGB, gAMA": (chunked(picture(), 1.0), picture()),
    "RGBA": (encoded(RGBA, "PNG"), RGBA),
    "RGBA, Display P3": (encoded(RGBA, "PNG", icc_profile=WIDE), RGBA),
    "RGBA, WebP": (encoded(RGBA, "WEBP", lossless=True, exact=True), RGBA),
    "grey": (encoded(picture()[..., 0], "PNG"), picture()[..., :1]),
    "grey, linear": (encoded(picture()[..., 0], "PNG", icc_profile=GREYS), picture()[..., :1]),
    "grey and alpha": (encoded(Image.fromarray(RGBA[..., 2:], "LA"), "PNG"), RGBA[..., 2:]),
    "palette": (palette(), None),
    "palette, transparent": (palette(transparency=3), None),
    "palette, Display P3": (palette(icc_profile=WIDE), None),
    "16-bit RGB": (png(DEEP[..., :3], bits=16), DEEP[..., :3]),
    "16-bit RGB, linear": (chunked(DEEP[..., :3], 1.0, bits=16), DEEP[..., :3]),
    "16-bit RGBA": (png(DEEP, bits=16), DEEP),
    "16-bit grey": (png(DEEP[..., 0], bits=16), DEEP[..., :1]),
    "16-bit grey, linear": (chunked(DEEP[..., 0], 1.0, bits=16), DEEP[..., :1]),
    "16-bit grey and alpha": (png(DEEP[..., [0, 3]], bits=16), DEEP[..., [0, 0, 0, 3]]),
    "16-bit RGB, TIFF": (tiff(DEEP[..., :3], 2), DEEP[..., :3]),
    "16-bit RGB, big-endian TIFF": (tiff(DEEP[..., :3], 2, order=">", deflate=True), DEEP[..., :3]),
    "16-bit RGBA, TIFF": (tiff(DEEP, 2, extra=2), DEEP),
    "16-bit grey, TIFF": (tiff(DEEP[..., 0], 1), DEEP[..., :1]),
    "16-bit grey, white as 0, TIFF": (tiff(DEEP[..., 0], 0), 65535 - DEEP[..., :1]),
}


def samples_of(data):
    """A PNG as it is, [H, W, C] with the colours in the order of RGB."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("L", "LA", "RGB", "RGBA") and data[24] == 8:
            samples = np.asarray(image)
            return samples.reshape(*samples.shape[:2], -1)
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    samples = samples.reshape(*samples.shape[:2], -1)
    return samples[..., [[0], [], [2, 1, 0], [2, 1, 0, 3]][samples.shape[2] - 1]]


def edit(pixels, *, grey=False):
    """The middle of a picture, a little darker and redder, or a little darker."""
    edited = pixels.copy()
    by = (-12, -12, -12) if grey else (-4, -12, -20)
    edited[BOX] = (edited[BOX].astype(int) + by).clip(0, 255)
    return edited


@pytest.mark.parametrize("name", SOURCES)
def test_a_png_of_an_unedited_photo_has_its_values_bit_for_bit(name):
    data, expected = SOURCES[name]
    photo = open_photo(data)
    saved = encode_photo(photo, photo.pixels, kind="png", note="nothing")
    np.testing.assert_array_equal(load_photo(saved), photo.pixels)
    if expected is not None:
        found = samples_of(saved)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", SOURCES)
def test_an_edit_moves_its_place_and_leaves_the_rest_bit_for_bit(name):
    data, expected = SOURCES[name]
    photo = open_photo(data)
    edited = edit(photo.pixels, grey="grey" in name)
    saved = encode_photo(photo, edited, kind="png", note="darker")
    outside = np.ones(photo.pixels.shape[:2], bool)
    outside[BOX] = False
    shown = load_photo(saved)
    np.testing.assert_array_equal(shown[outside], photo.pixels[outside])
    if expected is not None:
        found = samples_of(saved)
        np.testing.assert_array_equal(found[outside], expected[outside])
        assert found.dtype == expected.dtype
        if "alpha" in name or "RGBA" in name:
            np.testing.assert_array_equal(found[..., -1], expected[..., -1])
    # Of two values near the ends of their range only one can move; noise has many. Greys turn light fast.
    off = np.abs(shown[BOX].astype(int) - edited[BOX])
    assert np.median(off) <= 1
    assert off.mean() <= (4 if "16-bit" in name else 1.6)


def test_sixteen_bits_keep_what_lies_between_two_levels():
    ramp = np.repeat(np.linspace(20_000, 30_000, 64 * 48).astype(np.uint16).reshape(48, 64, 1), 3, 2)
    photo = open_photo(png(ramp, bits=16))
    edited = photo.pixels.copy()
    edited[BOX] += 10
    found = samples_of(encode_photo(photo, edited, kind="png", note="lighter")).astype(int)
    np.testing.assert_array_equal((found - ramp)[BOX], 2570)


def test_colours_outside_of_srgb_survive_an_edit():
    green = np.full((48, 64, 3), (0, 250, 0), np.uint8)  # of Display P3; sRGB has none such
    photo = open_photo(encoded(green, "PNG", icc_profile=WIDE))
    assert photo.pixels[0, 0].tolist() == [0, 255, 0] or photo.pixels[0, 0, 1] > 250
    edited = photo.pixels.copy()
    edited[BOX][..., 2] += 10
    found = samples_of(encode_photo(photo, edited, kind="png", note="a little blue"))
    assert found[15, 25, 1] >= 248  # and not the 230 of sRGB's green
    np.testing.assert_array_equal(found[0, 0], (0, 250, 0))


def test_colours_given_to_a_grey_photo_make_it_rgb():
    for data, depth in ((encoded(picture()[..., 0], "PNG"), 1), (png(DEEP[..., 0], bits=16), 257)):
        photo = open_photo(data)
        edited = edit(photo.pixels)
        found = samples_of(encode_photo(photo, edited, kind="png", note="red"))
        assert found.shape[2] == 3
        assert np.abs(found[BOX].astype(int) / depth - edited[BOX]).max() <= 1
        np.testing.assert_array_equal(found[0, :, 0], found[0, :, 2])
    photo = open_photo(encoded(picture()[..., 0], "PNG", icc_profile=GREYS))
    edited = edit(photo.pixels)
    saved = encode_photo(photo, edited, kind="png", note="red")
    np.testing.assert_array_equal(load_photo(saved), edited)
    assert b"iCCP" not in saved


def test_what_no_file_holds_is_saved_as_it_is_shown():
    cmyk = Image.fromarray(picture()).convert("CMYK")
    ramp = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    for data in (encoded(cmyk, "TIFF"), encoded(cmyk, "JPEG"), encoded(ramp, "TIFF")):
        photo = open_photo(data)
        edited = edit(photo.pixels)
        np.testing.assert_array_equal(load_photo(encode_photo(photo, edited, kind="png", note="")), edited)


def test_a_profile_without_a_way_back_is_left(monkeypatch):
    def refuse(*_, **__):
        raise ImageCms.PyCMSError("no way back")

    monkeypatch.setattr(merging, "NativeColours", refuse)
    photo = open_photo(encoded(picture(), "PNG", icc_profile=WIDE))
    saved = encode_photo(photo, edit(photo.pixels), kind="png", note="")
    assert b"iCCP" not in saved
    np.testing.assert_array_equal(load_photo(saved), edit(photo.pixels))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("profile", [None, WIDE])
def test_every_orientation_comes_back_the_same_way_up(orientation, fmt, profile):
    exif = Image.Exif()
    exif[274] = orientation
    options = (
        {"lossless": True} if fmt == "WEBP" else {"quality": 98, "subsampling": 0} if fmt == "JPEG" else {}
    )
    photo = open_photo(encoded(picture(), fmt, exif=exif.tobytes(), icc_profile=profile, **options))
    edited = edit(photo.pixels)
    for kind in ("jpeg", "png", "webp"):
        saved = encode_photo(photo, edited, kind=kind, note="")
        found = load_photo(saved).astype(int)
        assert found.shape == edited.shape
        assert np.abs(found - edited).mean() < (2.5 if "jpeg" in (kind, fmt.lower()) else 1)
        with Image.open(io.BytesIO(saved)) as image:
            same = fmt.lower() == kind
            assert image.getexif()[274] == (orientation if same else 1)
            assert image.size == ((64, 48) if same or orientation < 5 else (48, 64))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_turning_there_and_back_changes_nothing(orientation, channels):
    for dtype in (np.uint8, np.uint16):
        samples = DEEP[..., :channels].astype(dtype)
        turned = upright(samples, orientation)
        assert turned.shape == ((48, 64, channels) if orientation < 5 else (64, 48, channels))
        np.testing.assert_array_equal(upright(turned, turned_back(orientation)), samples)


@pytest.mark.parametrize("band", [1, 64, 300])
def test_bands_change_nothing(monkeypatch, band):
    for data, _ in (SOURCES["RGBA, Display P3"], SOURCES["16-bit RGB"]):
        photo = open_photo(data)
        whole = [encode_photo(photo, edit(photo.pixels), kind=kind, note="") for kind in ("png", "jpeg")]
        with monkeypatch.context() as patch:
            patch.setattr(changes, "BAND", band)
            found = [encode_photo(photo, edit(photo.pixels), kind=kind, note="") for kind in ("png", "jpeg")]
        assert found == whole


def curved(curve):
    """Display P3 with another curve a channel."""
    at = [WIDE.index(name, 128) for name in (b"rTRC", b"gTRC", b"bTRC")]
    padded = curve.ljust(-(-len(curve) // 4) * 4, b"\0")
    changed = bytearray(WIDE + padded)
    for place in at:
        changed[place + 4 : place + 12] = len(WIDE).to_bytes(4, "big") + len(curve).to_bytes(4, "big")
    changed[:4] = len(changed).to_bytes(4, "big")
    return bytes(changed)


CURVES = {
    "sRGB": None,
    "a power": b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(1.8 * 256).to_bytes(2, "big"),
    "none": b"curv" + bytes(8),
    "a table": b"curv"
    + bytes(4)
    + (1024).to_bytes(4, "big")
    + (65535 * np.linspace(0, 1, 1024) ** 2.2).astype(">u2").tobytes(),
    "power": b"para" + bytes(8) + round(2.2 * 65536).to_bytes(4, "big"),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_fast_way_to_a_profile_is_littlecms_s(name):
    profile = WIDE if CURVES[name] is None else curved(CURVES[name])
    way = NativeColours(profile)
    assert way._tables is not None
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), target, "RGB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE
    )
    expected = np.asarray(transform.apply(Image.fromarray(picture()))).astype(int)
    assert np.abs(way.of(picture(), 255) - expected).max() <= 1
    assert np.abs(way.of(picture(), 65535) / 257 - expected).max() <= 1


def test_a_profile_that_is_no_matrix_goes_through_littlecms(monkeypatch):
    monkeypatch.setattr("editor.photo.writing.to_native._matrix_and_curves", lambda _: None)
    photo = open_photo(encoded(picture(), "PNG", icc_profile=WIDE))
    edited = edit(photo.pixels)
    shown = load_photo(encode_photo(photo, edited, kind="png", note="")).astype(int)
    np.testing.assert_array_equal(shown[0], photo.pixels[0])
    assert np.abs(shown - edited).mean() <= 1


def test_the_way_to_greys_is_the_inverse_of_the_way_from_them():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    for top in (255, 65535):
        found = NativeColours(GREYS, grey=True).of(greys, top)[0, :, 0] / top
        level = greys[0, :, 0] / 255
        light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
        assert np.abs(found - light).max() < 0.01
        assert NativeColours(None, grey=True).of(greys, top)[0, 100, 0] == 100 * top // 255
