"""What a PNG says of its colours and its transparency besides the pixels."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from editor.errors import ImageInputError
from editor.photo.reading import load_photo
from tests.helpers.hand_made import chunk, png
from tests.helpers.pictures import encoded, picture

SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3_PRIMARIES = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
GREYS = np.arange(64 * 64).reshape(64, 64) * 16


def gama(value):
    return chunk(b"gAMA", struct.pack(">I", round(value * 100000)))


def chrm(primaries):
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in primaries)))


def key(*values):
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def from_linear(light):
    """IEC 61966-2-1, to levels."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def to_linear(levels):
    value = levels / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def to_xyz(primaries):
    (xw, yw), *rest = np.reshape(primaries, (4, 2))
    matrix = np.array([[x / y, 1, (1 - x - y) / y] for x, y in rest]).T
    return matrix * np.linalg.solve(matrix, [xw / yw, 1, (1 - xw - yw) / yw])


@pytest.mark.parametrize("gamma", [1.0, 0.7, 1 / 1.8, 0.3])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gama_is_followed_in_colours_and_greys(gamma, channels):
    samples = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
    samples = {1: samples[..., 0], 2: samples[..., [0, 3]], 3: samples[..., :3], 4: samples}[channels]
    shown = samples[..., :3] if channels > 2 else np.repeat(picture()[..., :1], 3, 2)
    expected = np.rint(from_linear((shown / 255) ** (1 / gamma)))
    assert np.abs(load_photo(png(samples, gama(gamma))) - expected).max() <= 1


def test_gama_is_followed_in_16_bit_greys_without_steps_in_the_dark():
    expected = np.rint(from_linear(GREYS / 65535))
    assert np.abs(load_photo(png(GREYS, gama(1.0), bits=16))[..., 1] - expected).max() <= 1


def test_gama_is_followed_in_a_palette():
    image = Image.fromarray(picture()).quantize(16)
    plain = encoded(image, "PNG")
    at = plain.index(b"PLTE") - 4
    expected = np.rint(from_linear(load_photo(plain) / 255))
    assert np.abs(load_photo(plain[:at] + gama(1.0) + plain[at:]) - expected).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        (gama(0.45455),),
        (gama(0.46),),
        (gama(0.45455), chrm(SRGB_PRIMARIES)),
        (chunk(b"sRGB", b"\0"), gama(1.0)),
        (gama(0.0),),
        (gama(4e4),),
        (chrm(P3_PRIMARIES),),
        (gama(0.45455), chrm((0.0,) * 8)),
        (gama(0.45455), chrm((0.3,) * 8)),
    ],
    ids=["sRGB", "near", "primaries", "chunk", "zero", "huge", "no gAMA", "no primaries", "one primary"],
)
def test_what_says_srgb_or_nothing_leaves_every_level(chunks):
    np.testing.assert_array_equal(load_photo(png(picture(), *chunks)), picture())
    np.testing.assert_array_equal(load_photo(png(GREYS, *chunks, bits=16)), load_photo(png(GREYS, bits=16)))


def test_primaries_are_followed():
    light = to_linear(picture()) @ (np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(P3_PRIMARIES)).T
    found = load_photo(png(picture(), gama(0.45455), chrm(P3_PRIMARIES)))
    assert np.abs(found - np.rint(from_linear(light.clip(0, 1)))).max() <= 2
    assert np.abs(found.astype(int) - picture()).mean() > 3


def test_a_profile_comes_before_gama():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = encoded(picture(), "PNG", icc_profile=srgb)
    at = plain.index(b"iCCP") - 4
    np.testing.assert_array_equal(load_photo(plain[:at] + gama(1.0) + plain[at:]), picture())


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_becomes_white_in_every_depth(bits):
    grey = (2**bits - 1) // 3
    samples = np.full((40, 40), grey)
    samples[:, 20:] = grey + 1
    pixels = load_photo(png(samples, key(grey), bits=bits))
    assert (pixels[:, :20] == 255).all()
    np.testing.assert_array_equal(pixels[:, 20:], load_photo(png(samples, bits=bits))[:, 20:])


def test_a_transparent_colour_of_16_bits_is_refused_by_name():
    for colour in ((1000, 2000, 3000), (1, 2, 3)):
        samples = np.full((40, 40, 3), colour)
        with pytest.raises(ImageInputError, match=r"photo is a PNG of 16-bit RGB with a transparent colour"):
            load_photo(png(samples, key(*colour), bits=16))
        assert load_photo(png(samples, bits=16)).shape == (40, 40, 3)


def test_a_pillow_image_with_a_transparent_grey_is_not_changed(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.full((40, 40), 1), key(1), bits=2))
    with Image.open(tmp_path / "a.png") as image:
        assert (load_photo(image) == 255).all()
        assert image.info["transparency"] == 1
