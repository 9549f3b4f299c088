"""Files of edited photos: their kinds, how they are encoded, where they go, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin

from editor.errors import ImageInputError
from editor.photo.original import PhotoFile, open_photo
from editor.photo.reading import load_photo
from editor.photo.writing import changes, saving
from editor.photo.writing.saving import KINDS, encode_photo, kind_of, save_photo
from tests.editor.photo.test_heif import heic
from tests.editor.photo.writing.test_values import WIDE
from tests.helpers.pictures import encoded, picture


def smooth(width=96, height=64):
    return picture(width, height) // 2 + 50  # away from the ends, where decoders clip


def noise(width=96, height=64):
    rough = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 92, 100])
def test_an_unedited_jpeg_is_encoded_as_it_was_within_a_level(quality, subsampling):
    data = encoded(smooth(), "JPEG", quality=quality, subsampling=subsampling)
    photo = open_photo(data)
    saved = encode_photo(photo, photo.pixels, kind="jpeg", note="")
    before, after = opened(data), opened(saved)
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == subsampling
    off = np.abs(load_photo(saved).astype(int) - photo.pixels)
    assert off.mean() < (0.25 if quality < 100 else 0.5)
    assert off.max() <= (1 if subsampling == 0 and quality < 100 else 4)


@pytest.mark.parametrize("quality", [75, 92])
def test_what_was_not_edited_of_a_jpeg_loses_next_to_nothing(quality):
    data = encoded(noise(), "JPEG", quality=quality, subsampling=2)
    photo = open_photo(data)
    edited = photo.pixels.copy()
    edited[16:48, 16:48] = 255 - edited[16:48, 16:48]
    found = load_photo(encode_photo(photo, edited, kind="jpeg", note="")).astype(int)
    far = np.ones(edited.shape[:2], bool)
    far[:64, :64] = False
    again = load_photo(encoded(photo.pixels, "JPEG", quality=quality - 10)).astype(int)
    assert np.abs(found - edited)[far].mean() < 1
    assert np.abs(found - edited)[far].mean() < 0.5 * np.abs(again - edited)[far].mean()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("band", [300, 10**6])
def test_an_edit_of_a_jpeg_s_planes_lies_where_it_should(orientation, subsampling, band, monkeypatch):
    monkeypatch.setattr(changes, "BAND", band)
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(smooth(101, 67), "JPEG", quality=97, subsampling=subsampling, exif=exif)
    photo = open_photo(data)
    for rows, columns in ((slice(13, 40), slice(7, 50)), (slice(31, None), slice(20, None))):
        edited = photo.pixels.copy()
        edited[rows, columns] += np.array([30, 5, 0], np.uint8)
        off = load_photo(encode_photo(photo, edited, kind="jpeg", note="")).astype(int) - edited
        assert np.abs(off).mean() < 1
        inside = np.zeros(edited.shape[:2], bool)
        inside[rows, columns] = True
        inside[: rows.start + 3] = inside[:, : columns.start + 3] = False
        if rows.stop is not None:
            inside[rows.stop - 3 :] = inside[:, columns.stop - 3 :] = False
        assert np.abs(off[inside]).max() <= 8  # the edge rings; colours in another place are off by 25
        assert np.abs(off[inside]).mean() < 1.5


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_an_edit_of_planes_follows_the_profile(subsampling):
    data = encoded(smooth(), "JPEG", quality=97, subsampling=subsampling, icc_profile=WIDE)
    photo = open_photo(data)
    edited = photo.pixels.copy()
    edited[16:48, 16:64] -= np.array([20, 40, 10], np.uint8)
    saved = encode_photo(photo, edited, kind="jpeg", note="")
    assert opened(saved).info["icc_profile"] == WIDE
    off = np.abs(load_photo(saved).astype(int) - edited)
    assert off[20:44, 20:60].mean() < 1.5
    assert off.mean() < 1.2


def test_a_jpeg_whose_profile_has_no_way_back_is_saved_as_it_is_shown(monkeypatch):
    def refuse(*_, **__):
        raise ImageCms.PyCMSError("no way back")

    monkeypatch.setattr(saving, "NativeColours", refuse)
    photo = open_photo(encoded(smooth(), "JPEG", quality=97, icc_profile=WIDE))
    saved = encode_photo(photo, photo.pixels, kind="jpeg", note="")
    assert "icc_profile" not in opened(saved).info
    assert np.abs(load_photo(saved).astype(int) - photo.pixels).mean() < 1


def test_an_rgb_jpeg_and_a_grey_one_stay_so():
    data = encoded(smooth(), "JPEG", quality=90, keep_rgb=True)
    saved = encode_photo(open_photo(data), load_photo(data), kind="jpeg", note="")
    assert opened(saved).info.get("adobe_transform") == opened(data).info.get("adobe_transform") == 0
    assert np.abs(load_photo(saved).astype(int) - load_photo(data)).max() <= 1
    grey = encoded(smooth()[..., 0], "JPEG", quality=90)
    assert opened(encode_photo(open_photo(grey), load_photo(grey), kind="jpeg", note="")).mode == "L"
    edited = load_photo(grey)
    edited[:, :, 0] = np.minimum(edited[:, :, 0], 200) + 20
    coloured = encode_photo(open_photo(grey), edited, kind="jpeg", note="")
    assert opened(coloured).mode == "RGB"
    assert np.abs(load_photo(coloured).astype(int) - edited).max() <= 6


def test_jpegs_of_other_photos_have_full_chroma():
    for data in (encoded(smooth(), "PNG"), encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG")):
        saved = opened(encode_photo(open_photo(data), load_photo(data), kind="jpeg", note=""))
        assert JpegImagePlugin.get_sampling(saved) == 0
        assert saved.mode == "RGB"


def test_alpha_is_laid_on_white_in_a_jpeg():
    half = np.dstack([smooth(), np.full((64, 96), 100, np.uint8)])
    photo = open_photo(encoded(half, "PNG"))
    edited = photo.pixels.copy()
    edited[10:20, 10:20] -= 30
    found = load_photo(encode_photo(photo, edited, kind="jpeg", note=""))
    assert np.abs(found.astype(int) - edited).mean() < 1


def test_a_webp_is_lossless_where_the_photo_was():
    lossless = {
        "PNG": encoded(smooth(), "PNG"),
        "WebP": encoded(smooth(), "WEBP", lossless=True),
        "WebP with EXIF": encoded(
            smooth(), "WEBP", lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
        ),
        "RGBA": encoded(np.dstack([smooth(), smooth()[..., 0]]), "PNG"),
    }
    for data in lossless.values():
        photo = open_photo(data)
        saved = encode_photo(photo, photo.pixels, kind="webp", note="")
        assert b"VP8L" in saved
        np.testing.assert_array_equal(load_photo(saved), photo.pixels)
    for data in (encoded(smooth(), "WEBP", quality=80), encoded(smooth(), "JPEG")):
        photo = open_photo(data)
        saved = encode_photo(photo, photo.pixels, kind="webp", note="")
        assert b"VP8 " in saved
        assert np.abs(load_photo(saved).astype(int) - photo.pixels).mean() < 2


def test_a_grey_photo_s_webp_is_rgb():
    grey = encoded(smooth()[..., 0], "PNG")
    saved = encode_photo(open_photo(grey), load_photo(grey), kind="webp", note="")
    np.testing.assert_array_equal(load_photo(saved), load_photo(grey))


def test_photos_without_a_file_are_saved_from_their_pixels():
    for source in (smooth(), Image.fromarray(smooth())):
        photo = open_photo(source)
        assert (photo.source, photo.format, kind_of(photo)) == (None, None, "png")
        for kind in KINDS:
            found = load_photo(encode_photo(photo, photo.pixels, kind=kind, note=""))
            assert np.abs(found.astype(int) - smooth()).mean() < 1
        with pytest.raises(ImageInputError, match="it came from no file"), photo.reopened():
            pass


@pytest.mark.parametrize(
    ("fmt", "kind"),
    [("JPEG", "jpeg"), ("MPO", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "png"), ("BMP", "png")],
)
def test_a_photo_is_saved_as_it_was_or_as_png(fmt, kind):
    assert kind_of(open_photo(encoded(smooth(), fmt))) == kind


def test_a_heic_is_saved_as_jpeg():
    pytest.importorskip("pillow_heif", reason="writes the file")
    photo = open_photo(heic(smooth()))
    assert (photo.format, kind_of(photo)) == ("HEIF", "jpeg")
    saved = encode_photo(photo, photo.pixels, kind="jpeg", note="")
    assert np.abs(load_photo(saved).astype(int) - photo.pixels).mean() < 1.5


@pytest.mark.parametrize("suffix", saving.SUFFIXES)
def test_the_name_says_the_kind(suffix, tmp_path):
    photo = open_photo(encoded(smooth(), "JPEG"))
    path = tmp_path / f"out{suffix.upper()}"
    save_photo(path, photo, photo.pixels, note="x")
    assert opened(path.read_bytes()).format.lower() == saving.SUFFIXES[suffix]
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_file_is_the_user_s_like_any_other_and_replaces_one(tmp_path):
    photo = open_photo(encoded(smooth(), "JPEG"))
    (tmp_path / "plain").touch()
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    save_photo(str(path), photo, photo.pixels, note="")
    assert load_photo(path).shape == (64, 96, 3)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    photo = open_photo(encoded(smooth(), "JPEG"))
    for name in ("a.heic", "a.tif", "a", "a.gif"):
        with pytest.raises(ImageInputError, match=r"ends in .*; allowed are \.jpg, .*\.png, \.webp"):
            save_photo(tmp_path / name, photo, photo.pixels, note="")
    with pytest.raises(ImageInputError, match=r"gone/a\.png: cannot be written: No such file"):
        save_photo(tmp_path / "gone/a.png", photo, photo.pixels, note="")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageInputError, match=r"folder\.png: cannot be written"):
        save_photo(tmp_path / "folder.png", photo, photo.pixels, note="")
    (tmp_path / "kept.png").write_bytes(b"kept")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ImageInputError, match="No space left on device"):
        save_photo(tmp_path / "kept.png", photo, photo.pixels, note="")
    assert (tmp_path / "kept.png").read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} == {"folder.png", "kept.png"}


def test_the_photo_itself_is_never_overwritten(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(smooth(), "JPEG"))
    (tmp_path / "link.jpg").symlink_to(path)
    before, photo = path.read_bytes(), open_photo(path)
    for place in (path, tmp_path / "link.jpg", f"{tmp_path}/../{tmp_path.name}/photo.jpg"):
        with pytest.raises(ImageInputError, match="is the photo that was opened"):
            save_photo(place, photo, photo.pixels, note="")
    assert path.read_bytes() == before


def test_a_photo_that_is_gone_or_has_changed_is_not_mixed_up(tmp_path):
    path = tmp_path / "photo.png"
    half = np.dstack([smooth(), smooth()[..., 0]])
    path.write_bytes(encoded(half, "PNG"))
    photo = open_photo(str(path))
    assert photo.source == path
    path.write_bytes(encoded(half[:32], "PNG"))
    with pytest.raises(ImageInputError, match=r"photo 'photo\.png' has changed since it was opened"):
        encode_photo(photo, photo.pixels, kind="png", note="")
    path.unlink()
    with pytest.raises(ImageInputError, match=r"photo 'photo\.png'"):
        encode_photo(photo, photo.pixels, kind="png", note="")
    swapped = PhotoFile(encoded(half[:32], "PNG"), photo.pixels, "PNG")
    with pytest.raises(ImageInputError, match="it is 96x32 px now"):
        encode_photo(swapped, photo.pixels, kind="png", note="")


def test_what_does_not_fit_is_refused(monkeypatch):
    photo = open_photo(encoded(smooth(), "PNG"))
    with pytest.raises(ImageInputError, match="edited: got 95x64 px, expected the photo's 96x64 px"):
        encode_photo(photo, photo.pixels[:, 1:], kind="png", note="")
    with pytest.raises(ImageInputError, match=r"edited: got an array \[64, 96, 3\] float32"):
        encode_photo(photo, photo.pixels.astype(np.float32), kind="png", note="")
    with pytest.raises(ImageInputError, match="kind: got 'tiff', allowed are jpeg, png, webp"):
        encode_photo(photo, photo.pixels, kind="tiff", note="")
    wide = np.zeros((2100, 16_400, 3), np.uint8)
    with pytest.raises(ImageInputError, match="16400x2100 px; a webp file holds at most 16383 px a side"):
        encode_photo(PhotoFile(None, wide), wide, kind="webp", note="")

    def broken(*_, **__):
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(ImageInputError, match="photo cannot be written as jpeg: encoder error -2"):
        encode_photo(photo, photo.pixels, kind="jpeg", note="")


def test_nothing_handed_over_is_changed():
    half = np.dstack([smooth(), smooth()[..., 0]])
    photo = open_photo(encoded(half, "PNG"))
    edited = photo.pixels.copy()
    edited[5:9] //= 2
    pixels, before = photo.pixels.copy(), edited.copy()
    for kind in KINDS:
        assert encode_photo(photo, edited, kind=kind, note="") == encode_photo(
            photo, edited, kind=kind, note=""
        )
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_array_equal(edited, before)
