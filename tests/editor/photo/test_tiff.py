"""Rare TIFFs are read as they are meant, or refused by what they are."""

import numpy as np
import pytest

from editor.errors import ImageInputError
from editor.photo.reading import load_photo
from tests.helpers.hand_made import tiff
from tests.helpers.pictures import picture

RAMP = np.linspace(0, 1, 40 * 48).reshape(40, 48)
ADVICE = "which cannot be read here; export it as PNG or JPEG"


def of(dtype, values=RAMP):
    top = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    return (values * top).astype(dtype)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    ("dtype", "photometric", "order"),
    [
        (np.uint8, 0, "<"),
        (np.uint8, 0, ">"),
        (np.uint16, 0, "<"),
        (np.uint16, 1, "<"),
        (np.uint16, 1, ">"),
        (np.uint32, 1, "<"),
        (np.int32, 1, "<"),
        (np.float32, 1, "<"),
    ],
)
def test_a_grey_ramp_is_one_in_any_kind_of_sample(dtype, photometric, order, deflate):
    pixels = load_photo(tiff(of(dtype), photometric, order=order, deflate=deflate))
    expected = np.rint(255 * (RAMP if photometric else 1 - RAMP))
    assert np.abs(pixels - expected[..., None]).max() <= 1
    assert (pixels == pixels[..., :1]).all()


def test_dark_32_bit_greys_keep_their_range():
    values = np.round(RAMP * 200).astype(np.uint32)
    np.testing.assert_array_equal(load_photo(tiff(values, 1))[..., 0], values)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planes", [False, True])
def test_8_bit_colours_are_read_interleaved_and_in_planes(order, planes):
    np.testing.assert_array_equal(load_photo(tiff(picture(), 2, order=order, planes=planes)), picture())


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_interleaved_16_bit_colours_are_read(order, deflate):
    pixels = load_photo(tiff(picture().astype(np.uint16) * 257, 2, order=order, deflate=deflate))
    np.testing.assert_array_equal(pixels, picture())


COLOURS = picture().astype(np.uint16) * 257
FOUR = np.dstack([picture(), picture()[..., 0]])
TWELVE = {"bits": 12, "data": bytes(40 * 48 * 3 // 2)}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tiff(COLOURS, 2, planes=True), r"3 x 16-bit unsigned integer samples \(each channel in a plane of"),
        (tiff(COLOURS, 2, planes=True, order=">"), r"3 x 16-bit .* \(each channel in a plane of"),
        (tiff(FOUR.astype(np.uint16), 5, planes=True), r"4 x 16-bit .* \(each channel in a plane of its own"),
        (tiff(FOUR[..., :2], 1, planes=True, extra=2), r"2 x 8-bit .* \(each channel in a plane of its own"),
        (tiff(FOUR, 2, planes=True, extra=1), r"4 x 8-bit .* \(each channel in a plane of its own"),
        (tiff(of(np.int8), 1), "8-bit signed integer samples,"),
        (tiff(of(np.int16), 1), "16-bit signed integer samples,"),
        (tiff(of(np.int16), 0), r"16-bit signed integer samples \(white stored as 0"),
        (tiff(of(np.uint16), 1, **TWELVE), "12-bit unsigned integer samples,"),
        (tiff(of(np.uint16), 0, order=">"), r"16-bit unsigned .* \(white stored as 0, big-endian"),
        (tiff(of(np.uint32), 0), r"32-bit unsigned integer samples \(white stored as 0"),
        (tiff(of(np.uint32), 1, order=">"), r"32-bit unsigned integer samples \(big-endian"),
        (tiff(of(np.int32), 1, order=">", deflate=True), r"32-bit signed .* \(compressed, big-endian"),
        (
            tiff(of(np.float32), 1, order=">", deflate=True),
            r"32-bit floating-point .* \(compressed, big-endian",
        ),
        (tiff(of(np.float32), 0), r"32-bit floating-point samples \(white stored as 0"),
        (tiff(picture(), 6), r"3 x 8-bit unsigned integer samples \(YCbCr"),
        (tiff(of(np.float16), 1), "16-bit floating-point samples,"),
        (tiff(of(np.float64), 1), "64-bit floating-point samples,"),
        (tiff(of(np.float32, picture() / 255), 2), "3 x 32-bit floating-point samples,"),
        (tiff(of(np.uint64, RAMP / 2), 1), "64-bit unsigned integer samples,"),
    ],
)
def test_samples_that_would_come_out_wrong_are_refused_by_name(data, what, tmp_path):
    with pytest.raises(ImageInputError, match=f"^photo is a TIFF of {what}.*{ADVICE}"):
        load_photo(data)
    (tmp_path / "scan.tif").write_bytes(data)
    with pytest.raises(ImageInputError, match=f"^photo 'scan.tif' is a TIFF of {what}.*{ADVICE}"):
        load_photo(tmp_path / "scan.tif")


def test_a_tiff_that_is_cut_short_is_called_damaged():
    data = tiff(picture(), 2)
    for end in (12, 60, len(data) // 2):
        with pytest.raises(ImageInputError, match="truncated"):
            load_photo(data[:end])
