"""HEIC photos, written here by pillow-heif: upright once, in their colours, or refused by name."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from editor.errors import ImageInputError
from editor.photo import heif
from editor.photo.png_colour import profile_of_chunks
from editor.photo.reading import load_photo, upright
from tests.helpers.pictures import encoded, picture

pillow_heif = pytest.importorskip("pillow_heif", reason="writes the files")
pytest.importorskip("pi_heif", reason="reads them")

SIDES = (96, 64)
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def heic(image, **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    stream = io.BytesIO()
    options = {"quality": 95, "chroma": 444, **options}
    pillow_heif.from_pillow(image).save(stream, **options)
    return stream.getvalue()


def off(found, expected):
    assert found.shape == expected.shape
    return np.abs(found.astype(int) - expected).mean()


def test_a_heic_photo_is_read_from_bytes_and_file(tmp_path):
    data = heic(picture(*SIDES))
    (tmp_path / "IMG_1.HEIC").write_bytes(data)
    pixels = load_photo(data)
    assert off(pixels, picture(*SIDES)) < 2
    assert (pixels.dtype, pixels.flags["C_CONTIGUOUS"]) == (np.uint8, True)
    np.testing.assert_array_equal(load_photo(tmp_path / "IMG_1.HEIC"), pixels)


def test_reading_one_registers_nothing_with_pillow():
    before = dict(Image.OPEN)  # other libraries register readers of their own where they find pillow-heif
    load_photo(heic(picture(*SIDES)))
    assert before == Image.OPEN


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_once_although_two_places_say_so(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    exif[271] = "Maker"
    data = heic(picture(*SIDES), exif=exif.tobytes())
    assert b"Maker" in data
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    assert off(load_photo(data), upright(picture(*SIDES), orientation)) < 2


def test_the_first_picture_is_the_one_that_the_file_calls_so():
    dark, light = (Image.new("RGB", (64, 64), (level,) * 3) for level in (20, 220))
    file = pillow_heif.from_pillow(dark)
    file.add_from_pillow(light)
    for primary, level in ((0, 20), (1, 220)):
        stream = io.BytesIO()
        file.save(stream, primary_index=primary)
        assert abs(load_photo(stream.getvalue()).mean() - level) < 3


def p3_to_srgb(levels):
    """By the matrices of the two spaces, with IEC 61966-2-1's curve for both."""
    value = levels / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    mixed = (light @ matrix.T).clip(0, 1)
    return 255 * np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("way", ["icc", "nclx"])
def test_display_p3_is_followed_by_profile_and_by_numbers(way):
    if way == "icc":
        profile = profile_of_chunks({"gamma": 1 / 2.2, "chromaticity": P3}, grey=False)
        data = heic(picture(*SIDES), icc_profile=profile)
    else:
        data = heic(picture(*SIDES), color_primaries=12, transfer_characteristics=13, matrix_coefficients=6)
        assert b"nclx" in data
    assert off(p3_to_srgb(picture(*SIDES)), picture(*SIDES)) > 4
    assert off(load_photo(data), p3_to_srgb(picture(*SIDES))) < 2


def test_numbers_that_mean_srgb_or_nothing_make_no_profile():
    nclx = {"color_primaries": 1, "transfer_characteristics": 13}
    assert heif.profile_of_nclx(nclx) is None
    assert heif.profile_of_nclx(nclx | {"color_primaries": 2}) is None
    assert heif.profile_of_nclx(nclx | {"color_primaries": 12}) is None  # without chromaticities
    assert heif.profile_of_nclx(None) is None


def test_the_profile_that_stands_for_numbers_is_a_whole_one():
    profile = profile_of_chunks({"gamma": 1 / 2.2, "chromaticity": P3}, grey=False)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert "photo" in ImageCms.getProfileDescription(opened)
    assert ImageCms.getProfileCopyright(opened).strip()


def test_absolute_light_is_refused_by_name():
    data = heic(picture(*SIDES), color_primaries=9, transfer_characteristics=16, matrix_coefficients=9)
    with pytest.raises(ImageInputError, match=r"photo is an HDR photo \(HEIF with a PQ curve\).*as JPEG"):
        load_photo(data)


def test_ten_bits_and_alpha_are_read():
    deep = picture(*SIDES).astype(np.uint16) * 257
    stream = io.BytesIO()
    file = pillow_heif.from_bytes("RGB;16", SIDES, deep.tobytes())
    file.save(stream, quality=95, chroma=444)
    assert off(load_photo(stream.getvalue()), picture(*SIDES)) < 2
    half = np.dstack([picture(*SIDES), np.full(SIDES[::-1], 128, np.uint8)])
    expected = (picture(*SIDES).astype(float) * 128 + 255 * 127) / 255
    assert off(load_photo(heic(Image.fromarray(half))), expected) < 2


def test_grey_is_read():
    grey = picture(*SIDES)[..., 0]
    assert off(load_photo(heic(Image.fromarray(grey))), np.repeat(grey[..., None], 3, 2)) < 2


def test_a_large_one_is_refused_from_its_header(monkeypatch):
    data = heic(picture(*SIDES))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(ImageInputError, match=r"96x64 px, 0.0 megapixels; at most 0.006 megapixels"):
        load_photo(data, max_pixels=6000)
    with pytest.raises(ImageInputError, match="both sides must be at least 65 px"):
        load_photo(data, min_side=65)


def test_ten_bits_and_alpha_have_the_limit_of_costly_formats_and_telephones_photos_have_not(monkeypatch):
    monkeypatch.setattr("editor.photo.reading.COSTLY_PIXELS", 6000)
    assert load_photo(heic(picture(*SIDES), chroma=420)).shape == (64, 96, 3)
    clear = Image.fromarray(picture(*SIDES)).convert("RGBA")
    stream = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", SIDES, bytes(96 * 64 * 6)).save(stream)
    for data in (heic(clear), stream.getvalue()):
        with pytest.raises(ImageInputError, match=r"at most 0.006 megapixels"):
            load_photo(data)


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.95])
def test_truncated_ones_are_called_so(part):
    data = heic(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8))
    with pytest.raises(ImageInputError, match=r"^photo .*truncated") as caught:
        load_photo(data[: max(16, int(len(data) * part))])
    assert "\n" not in str(caught.value)


def test_random_damage_is_never_another_error():
    data = np.frombuffer(heic(picture(*SIDES)), np.uint8)
    rng = np.random.default_rng(7)
    for _ in range(60):
        damaged = data.copy()
        damaged[rng.integers(0, len(damaged), 4)] = rng.integers(0, 256, 4)
        try:
            load_photo(damaged.tobytes())
        except ImageInputError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_without_pi_heif_a_heic_is_refused_as_before(monkeypatch):
    data = heic(picture(*SIDES))
    monkeypatch.setattr(heif, "_OPENER", None)
    with pytest.raises(ImageInputError, match=r"photo is a HEIC photo \(export it as JPEG\)"):
        load_photo(data)
    with pytest.raises(OSError, match="not installed"):
        heif.open_heif(io.BytesIO(data))


def test_what_is_allowed_names_heic():
    with pytest.raises(ImageInputError, match=r"is text; allowed are JPEG, .*, HEIC$"):
        load_photo(b"Dear diary\n")


def test_an_avif_that_begins_like_a_heif_is_still_read():
    try:
        data = encoded(picture(*SIDES), "AVIF", quality=95)
    except (KeyError, OSError):
        pytest.skip("this Pillow cannot write AVIF")
    generic = data.replace(b"ftypavif", b"ftypmif1", 1)
    np.testing.assert_array_equal(load_photo(generic), load_photo(data))
