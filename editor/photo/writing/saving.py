"""Edited photos as files: as the photo was, where it was not edited, and marked as edited."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from editor.errors import DECODER_ERRORS, ImageInputError
from editor.photo import heif
from editor.photo.colour import Pixels
from editor.photo.original import PhotoFile
from editor.photo.profile import PROFILE_ERRORS
from editor.photo.reading import check_pixels, turned_back, upright
from editor.photo.writing.changes import changed_boxes
from editor.photo.writing.credentials import Credentials, sign_picture
from editor.photo.writing.exif import rebuilt
from editor.photo.writing.iptc import segment
from editor.photo.writing.merging import merged
from editor.photo.writing.native import Colours, Original, Values, read_original
from editor.photo.writing.planes import Planes, edit_planes
from editor.photo.writing.png import Samples, density_chunk, write_png
from editor.photo.writing.to_native import NativeColours
from editor.photo.writing.xmp import SOFTWARE, fresh_packet
from stylegan2.aside import write_whole

Kind = Literal["jpeg", "png", "webp"]

KINDS: tuple[Kind, ...] = get_args(Kind)
SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    ".png": "png",
    ".webp": "webp",
}
_FORMATS: dict[Kind, tuple[str, ...]] = {"jpeg": ("JPEG", "MPO"), "png": ("PNG",), "webp": ("WEBP",)}
_QUALITY = 95  # of a JPEG or WebP whose own is not known
_MAX_SIDES = {"jpeg": 65_500, "webp": 16_383, "png": 2**31 - 1}  # px


def kind_of(photo: PhotoFile) -> Kind:
    """The kind of file to save a photo as: as it was, JPEG for HEIC, and PNG for all else."""
    if photo.format == heif.FORMAT:
        return "jpeg"
    return next((kind for kind, formats in _FORMATS.items() if photo.format in formats), "png")


def encode_photo(
    photo: PhotoFile, edited: Pixels, *, kind: Kind, note: str, sign: Credentials | None = None
) -> bytes:
    """An edited photo as the bytes of a file.

    Pixels that were not edited keep the file's own values, in its own colour space and, in a PNG, with its 16
    bits and its transparency; the others are moved by what the edit changed (`merging.merged`). A PNG, and a
    WebP of a lossless photo, hold exactly these values. A JPEG is encoded with the quantisation tables and
    the chroma subsampling of the JPEG that the photo was, else with quality 95 and full chroma; a WebP of a
    lossy photo with quality 95. Of CMYK, 32-bit and floating-point pictures 8-bit sRGB is saved, of palettes
    RGB or RGBA; of several pictures or frames the first.

    A file of the photo's own format lies as that did, with its EXIF orientation; any other is upright: many
    viewers know that tag in JPEGs only. The ICC profile is kept where the values are the file's. What a file
    says is written anew from lists of what is harmless (`exif`, `xmp`, `iptc`): dates, camera, lens, place,
    author and rights stay; thumbnails, previews, gain maps, maker's notes, second pictures and former Content
    Credentials do not. That the picture was edited with a trained model is said by EXIF, XMP, a JPEG's IPTC
    and a PNG's texts.

    Args:
        photo: The photo, as `open_photo` gave it. Its file is read once more.
        edited: [H, W, 3] uint8, upright sRGB, as large as `photo.pixels` and equal to it where nothing was
            edited; not changed.
        kind: "jpeg", "png" or "webp".
        note: What was done, in one line, such as `editor.photo.export.edit_note` writes.
        sign: Who signs Content Credentials; None for none.

    Raises:
        ImageInputError: `edited` is of another shape, the kind is none of these or cannot hold a picture so
            large, the photo's file is gone or has changed, or it cannot be signed.
    """
    check_pixels("edited", edited)
    if edited.shape != photo.pixels.shape:
        raise ImageInputError(
            f"edited: got {_size(edited)} px, expected the photo's {_size(photo.pixels)} px"
        )
    if kind not in KINDS:
        raise ImageInputError(f"kind: got {kind!r}, allowed are {', '.join(KINDS)}")
    if max(edited.shape[:2]) > _MAX_SIDES[kind]:
        limit = f"a {kind} file holds at most {_MAX_SIDES[kind]} px a side; save it as PNG"
        raise ImageInputError(f"photo is {_size(edited)} px; {limit}")
    original = read_original(photo, deep=kind == "png", in_planes=kind == "jpeg")
    picture = _edited(original, photo.pixels, edited, kind)
    lies = original.orientation if photo.format in _FORMATS[kind] else 1
    try:
        data = _ENCODERS[kind](_Written(original, picture, note, lies))
    except DECODER_ERRORS as error:
        raise ImageInputError(f"photo cannot be written as {kind}: {error}") from error
    return data if sign is None else sign_picture(data, f"image/{kind}", note, sign)


def save_photo(
    path: str | Path, photo: PhotoFile, edited: Pixels, *, note: str, sign: Credentials | None = None
) -> None:
    """Write `encode_photo` to a file, of the kind that its name says.

    The file appears when it is whole. The photo itself is never overwritten: what was edited is gone then.

    Args:
        path: Ends in one of `SUFFIXES`.
        photo: As for `encode_photo`.
        edited: As for `encode_photo`.
        note: As for `encode_photo`.
        sign: As for `encode_photo`.

    Raises:
        ImageInputError: Another ending, a place that cannot be written, the photo's own, or as from
            `encode_photo`.
    """
    path = Path(path)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        allowed = ", ".join(SUFFIXES)
        raise ImageInputError(f"{path}: ends in {path.suffix or 'nothing'!r}; allowed are {allowed}")
    if isinstance(photo.source, Path) and path.exists() and path.samefile(photo.source):
        raise ImageInputError(f"{path}: is the photo that was opened; save the edited one under another name")
    data = encode_photo(photo, edited, kind=kind, note=note, sign=sign)
    try:
        write_whole(path, data)
    except OSError as error:
        raise ImageInputError(f"{path}: cannot be written: {error.strerror}") from error


def _edited(original: Original, shown: Pixels, edited: Pixels, kind: Kind) -> Values | Planes:
    """The photo's values with the edit in them; planes as they lie in the file."""
    own, planes = original.values, original.planes
    if own is not None:
        _check_same(own.samples.shape[1::-1], edited)
        return merged(own, shown, edited, alpha=kind != "jpeg", grey=kind != "webp")
    if planes is not None:
        height, width = planes.light.shape
        _check_same((width, height) if original.orientation < 5 else (height, width), edited)
        colours = original.colours
        try:
            way = NativeColours(colours.profile if colours.changes else None)
        except PROFILE_ERRORS:
            return Values(edited, Colours())
        boxes = list(changed_boxes(shown, edited))
        edit_planes(planes, way, boxes, shown, edited, original.orientation)
        return planes
    return Values(edited, original.colours)


def _check_same(size: tuple[int, ...], edited: Pixels) -> None:
    if tuple(size) != edited.shape[1::-1]:
        found = f"it is {size[0]}x{size[1]} px now"
        raise ImageInputError(f"photo has changed since it was opened: {found}")


class _Written:
    """What is written, whatever the kind."""

    def __init__(self, original: Original, picture: Values | Planes, note: str, lies: int) -> None:
        self.note, self.original = note, original
        self._planes = picture if isinstance(picture, Planes) else None
        if isinstance(picture, Planes):
            self.colours = original.colours
            height, width = picture.light.shape
        else:
            self.colours = picture.colours
            self.samples = upright(picture.samples, turned_back(lies))
            height, width = self.samples.shape[:2]
        self.exif = rebuilt(
            original.exif,
            note=note,
            software=SOFTWARE,
            orientation=lies,
            size=(width, height),
            keeps_colours=self.colours.own,
        )
        self.xmp = fresh_packet(note, original.xmp)

    def image(self) -> Image.Image:
        if self._planes is not None:
            return self._planes.image()
        return Image.fromarray(self.samples[..., 0] if self.samples.shape[2] == 1 else self.samples)


def _jpeg(picture: _Written) -> bytes:
    coding, density = picture.original.coding, picture.original.density
    options: dict[str, Any] = {"quality": _QUALITY, "subsampling": 0}
    if coding is not None:
        options = {"qtables": coding.tables, "subsampling": coding.subsampling, "keep_rgb": coding.is_rgb}
    if density is not None:
        options["dpi"] = density
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + picture.xmp.encode()
    said = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    said += segment(picture.note, SOFTWARE, picture.original.captions)
    buffer = io.BytesIO()
    picture.image().save(
        buffer, "JPEG", exif=picture.exif, extra=said, icc_profile=picture.colours.profile, **options
    )
    return buffer.getvalue()


def _webp(picture: _Written) -> bytes:
    options: dict[str, Any] = {"quality": _QUALITY, "method": 2}  # twice as fast as 4, and as small
    if not picture.original.lossy:
        # Colours under full transparency are kept, too; a quality says here how hard it tries.
        options = {"lossless": True, "exact": True, "quality": 50, "method": 2}
    buffer = io.BytesIO()
    picture.image().save(
        buffer,
        "WEBP",
        exif=picture.exif,
        xmp=picture.xmp.encode(),
        icc_profile=picture.colours.profile,
        **options,
    )
    return buffer.getvalue()


def _png(picture: _Written) -> bytes:
    colours, density = picture.colours, picture.original.density
    texts = {"Description": picture.note, **picture.original.texts, "Software": SOFTWARE}
    if texts["Description"] != picture.note:  # the user's own
        texts["Comment"] = picture.note
    return write_png(
        picture.samples,
        texts=texts,
        xmp=picture.xmp,
        exif=picture.exif,
        profile=None if colours.chunks else colours.profile,
        others=[*colours.chunks, *([] if density is None else [density_chunk(density)])],
    )


_ENCODERS = {"jpeg": _jpeg, "png": _png, "webp": _webp}


def _size(samples: Samples) -> str:
    return f"{samples.shape[1]}x{samples.shape[0]}"
