"""load_photo: every kind of picture and every kind of bad input."""

import io
import os
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from editor.errors import FaceError, ImageInputError
from editor.photo import jpeg_scans
from editor.photo.reading import check_pixels, load_photo
from stylegan2.errors import StyleGANError
from tests.helpers.pictures import encoded, picture


def png_header(width, height):
    """A tiny PNG that claims any size."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(fmt):
    np.testing.assert_array_equal(load_photo(encoded(picture(), fmt)), picture())


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "MPO"])
def test_lossy_formats_stay_close(fmt):
    found = load_photo(encoded(picture(), fmt, quality=95))
    assert np.abs(found.astype(int) - picture()).max() <= 12
    assert np.abs(found.astype(int) - picture()).mean() <= 2


def test_path_string_bytes_image_and_array_give_the_same_pixels(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    sources = (path, str(path), path.read_bytes(), Image.open(path), Image.fromarray(picture()), picture())
    for source in sources:
        pixels = load_photo(source)
        np.testing.assert_array_equal(pixels, picture())
        assert pixels.dtype == np.uint8
        assert pixels.flags["C_CONTIGUOUS"]


def test_the_result_shares_no_memory_with_an_array():
    source = picture()
    load_photo(source)[:] = 0
    np.testing.assert_array_equal(source, picture())


def test_grey_and_rgba_arrays_are_taken():
    grey = picture()[..., 0]
    np.testing.assert_array_equal(load_photo(grey), np.repeat(grey[..., None], 3, 2))
    clear = np.dstack([picture(), np.zeros((48, 64), np.uint8)])
    assert (load_photo(clear) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "TIFF"])
def test_all_exif_orientations_are_undone(orientation, fmt):
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(picture(), fmt, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    pixels = load_photo(data)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"garbage", b"MM\0*\0\0\0\x08\xff\xff\x01\x12", b"II*\0"])
def test_broken_exif_is_ignored(exif):
    assert load_photo(encoded(picture(), "JPEG", exif=b"Exif\0\0" + exif)).shape == (48, 64, 3)


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(fmt):
    first, second = Image.new("RGB", (40, 40), (250, 0, 0)), Image.new("RGB", (40, 40), (0, 0, 250))
    options = {"lossless": True} if fmt == "WEBP" else {}
    pixels = load_photo(encoded(first, fmt, save_all=True, append_images=[second], **options))
    assert np.abs(pixels.astype(int) - (250, 0, 0)).max() <= 5


def test_a_pillow_image_is_left_as_it_was():
    image = Image.fromarray(picture()).convert("P")
    before = image.tobytes()
    load_photo(image)
    assert (image.mode, image.tobytes()) == ("P", before)


def test_a_closed_pillow_image_is_an_error_of_ours(tmp_path):
    (tmp_path / "photo.png").write_bytes(encoded(picture(), "PNG"))
    image = Image.open(tmp_path / "photo.png")
    image.close()
    with pytest.raises(ImageInputError, match=r"photo cannot be decoded \(PNG of mode RGB: .*closed"):
        load_photo(image)


BAD_FILES = {
    "notes.txt": (b"Dear diary, caf\xc3\xa9\n" * 50, "is text; allowed are JPEG"),
    "page.jpg": (b"\n<!DOCTYPE html><html>404 not found</html>", "is an HTML page"),
    "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "is a PDF document"),
    "logo.svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', "is an SVG drawing"),
    "plain.svg": (b"<svg></svg>", "is an SVG drawing"),
    "IMG_1.HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a damaged or truncated HEIC"),
    "clip.mp4": (b"\0\0\0\x18ftypisom\0\0\0\0", "is a video"),
    "essay.docx": (b"PK\x03\x04" + bytes(60), "is a zip archive"),
    "noise.bin": (bytes(range(256)) * 4, "is no picture that can be recognised"),
    "empty.png": (b"", r"is empty \(0 bytes\)"),
    "header.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a damaged or truncated JPEG"),
    "art.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is text"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_picture_is_named(name, tmp_path):
    data, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageInputError, match=message) as caught:
        load_photo(tmp_path / name)
    assert f"photo '{name}'" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)  # a visitor has no business with the server's folders
    with pytest.raises(ImageInputError, match=message):
        load_photo(data)


def test_a_format_that_is_not_allowed_is_refused_even_though_pillow_reads_it():
    for fmt in ("PPM", "ICO", "TGA"):
        with pytest.raises(ImageInputError, match="allowed are JPEG"):
            load_photo(encoded(picture(), fmt))


def test_missing_file_folder_and_impossible_names(tmp_path):
    with pytest.raises(ImageInputError, match=r"photo 'gone.jpg': no such file"):
        load_photo(tmp_path / "gone.jpg")
    with pytest.raises(ImageInputError, match="is a folder, expected a picture file"):
        load_photo(tmp_path)
    with pytest.raises(ImageInputError, match="no such file"):
        load_photo("a\0b.jpg")
    with pytest.raises(ImageInputError, match=r"cannot be opened \(.+\)|no such file"):
        load_photo("x" * 5000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageInputError, match="no regular file"):
        load_photo(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_files_are_errors(fmt, part):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    data = encoded(noise, fmt)
    with pytest.raises(ImageInputError, match=r"truncated|recognised"):
        load_photo(data[: int(len(data) * part)])


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_random_damage_is_never_another_error(fmt):
    rng = np.random.default_rng(7)
    try:
        data = encoded(picture(), fmt)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow cannot write {fmt}")
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 4)] = rng.integers(0, 256, 4)
        try:
            load_photo(damaged.tobytes())
        except ImageInputError:
            continue


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_from_its_header(width, height):
    data = png_header(width, height)
    megapixels = width * height / 1e6
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ImageInputError, match=rf"{megapixels:.0f}[.0]* megapixels; at most 50 megapixels"):
        load_photo(data)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5
    assert peak < 2**20


def test_the_pixel_limit_is_a_setting_and_leaves_pillow_alone():
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageInputError, match=r"64x48 px, 0.0 megapixels; at most 0.003 megapixels"):
        load_photo(picture(), max_pixels=3000)
    assert load_photo(picture(), max_pixels=64 * 48).shape == (48, 64, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(("width", "height"), [(1, 1), (31, 64), (64, 31)])
def test_too_small_pictures_are_refused(width, height):
    with pytest.raises(ImageInputError, match=rf"{width}x{height} px; both sides must be at least 32 px"):
        load_photo(encoded(picture(width, height), "PNG"))
    assert load_photo(picture(32, 32)).shape == (32, 32, 3)


def test_elongated_pictures_are_refused():
    with pytest.raises(ImageInputError, match=r"10000x50 px, 200 to 1; .* at most 8 times the shorter"):
        load_photo(encoded(picture(10_000, 50), "PNG"))
    with pytest.raises(ImageInputError, match="at most 8 times"):
        load_photo(picture(32, 257))
    assert load_photo(picture(32, 256)).shape == (256, 32, 3)


@pytest.mark.parametrize(
    "array",
    [
        picture().astype(np.float32),
        picture().astype(np.uint16),
        picture()[None],
        np.zeros((48, 64, 2), np.uint8),
        np.zeros((3, 48, 64), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
        np.array(None),
    ],
)
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(ImageInputError, match=r"photo: got an array \[.*expected \[H, W\]"):
        load_photo(array)


def test_other_types_are_refused():
    for source in (None, 3, [picture()], io.BytesIO(b"")):
        with pytest.raises(ImageInputError, match="expected a path, bytes, a Pillow image or an array"):
            load_photo(source)


def test_check_pixels_names_what_it_looked_at():
    check_pixels("photo", picture())
    with pytest.raises(ImageInputError, match=r"crop: got an array \[48, 64\] uint8, expected \[H, W, 3\]"):
        check_pixels("crop", picture()[..., 0])
    with pytest.raises(ImageInputError, match="crop: got list"):
        check_pixels("crop", [1])


def test_errors_can_be_caught_as_ours_and_as_value_errors():
    assert issubclass(FaceError, ImageInputError)
    assert issubclass(ImageInputError, (StyleGANError, ValueError))


def jpeg(side, **options):
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(monkeypatch):
    data = jpeg(64, progressive=True)
    scans = data.count(b"\xff\xda")
    assert 3 < scans < 20
    assert load_photo(data).shape == (64, 64, 3)
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED", scans * 64 * 64)
    assert load_photo(data).shape == (64, 64, 3)
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED", (scans - 1) * 64 * 64)
    with pytest.raises(ImageInputError, match=f"in more than {scans - 1} scans, which takes too long"):
        load_photo(data)
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED", 1)
    assert load_photo(jpeg(64)).shape == (64, 64, 3)  # one that is not progressive has one


def test_markers_of_scans_are_found_across_pieces(monkeypatch):
    monkeypatch.setattr(jpeg_scans, "MAX_SCANNED", 1)
    for piece in (2, 3, 7):
        monkeypatch.setattr(jpeg_scans, "_PIECE", piece)
        with pytest.raises(ImageInputError, match="in more than 1 scans"):
            load_photo(jpeg(64, progressive=True))


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_costly_formats_have_a_limit_of_their_own(monkeypatch, kind):
    monkeypatch.setattr("editor.photo.reading.COSTLY_PIXELS", 64 * 64)
    for side, fits in ((64, True), (65, False)):
        buffer = io.BytesIO()
        Image.new("RGB", (side, side)).save(buffer, kind)
        if fits:
            assert load_photo(buffer.getvalue()).shape == (64, 64, 3)
        else:
            with pytest.raises(ImageInputError, match="megapixels are allowed"):
                load_photo(buffer.getvalue())
