"""HEIC and HEIF, the photos of telephones: opened by pi-heif, where it is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import BinaryIO

from PIL import Image

from editor.errors import ImageInputError
from editor.photo.png_colour import profile_of_chunks

FORMAT = "HEIF"  # as Pillow would call it
SUFFIXES = (".heic", ".heif", ".hif")

_HEAD = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_GENERAL = (b"mif1", b"msf1")  # of any codec
_UNSPECIFIED, _BT709 = 2, 1  # colour primaries, ITU-T H.273
_PQ = 16  # of its transfer characteristics: absolute light up to 10,000 cd/m2
# Its powers; all others of ordinary pictures are shown as sRGB's is.
_GAMMAS = {4: 1 / 2.2, 5: 1 / 2.8, 8: 1.0}
_SRGB_GAMMA = 1 / 2.2


_Opener = Callable[[BinaryIO], Image.Image]


def _opener() -> _Opener | None:
    try:
        opener: _Opener = import_module("pi_heif.as_plugin").HeifImageFile
    except ImportError:
        return None
    return opener


# The class is called by us alone: registered with Pillow it would open files for the whole process.
_OPENER = _opener()


def can_read_heif() -> bool:
    """Whether pi-heif is installed."""
    return _OPENER is not None


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with `head`, some hundred bytes, is a HEIC or HEIF, and no AVIF."""
    found = _HEAD.match(head)
    if found is None or found.group(1) not in _GENERAL:
        return found is not None
    return b"avif" not in head[16 : int.from_bytes(head[:4], "big")]  # the brands it is compatible with


def open_heif(stream: BinaryIO) -> Image.Image:
    """Open the first picture of a file, its header read only.

    libheif turns the picture upright by the file's own boxes (irot, imir) when it decodes. The EXIF tag that
    telephones write besides is set to 1, so that nothing turns it once more. 10 and 12 bits become 8.

    Args:
        stream: The file; it is read to its end and kept in memory until the picture is decoded.

    Returns:
        The picture, not decoded. Colours that the file describes by numbers (nclx) instead of a profile are
        described by a profile in its `info`.

    Raises:
        DECODER_ERRORS: It is damaged or of a codec that cannot be read, or pi-heif is not installed.
    """
    if _OPENER is None:
        raise OSError("pi-heif is not installed")
    image = _OPENER(stream)
    if not image.info.get("icc_profile"):
        profile = profile_of_nclx(image.info.get("nclx_profile"))
        if profile is not None:
            image.info["icc_profile"] = profile
    return image


def check_heif(name: str, image: Image.Image) -> None:
    """Refuse a HEIF whose values are no ordinary picture's.

    Args:
        name: What to call the picture in the message.
        image: Any image, decoded or not.

    Raises:
        ImageInputError: Its values stand for absolute light (PQ), as those of some cameras' HDR pictures do.
    """
    nclx = image.info.get("nclx_profile") if image.format == FORMAT else None
    if isinstance(nclx, Mapping) and nclx.get("transfer_characteristics") == _PQ:
        raise ImageInputError(
            f"{name} is an HDR photo (HEIF with a PQ curve), which cannot be read here; export it as JPEG"
        )


def is_costly(image: Image.Image) -> bool:
    """Whether decoding takes several times the memory of telephones' photos: 10 bits, or alpha.

    48 megapixels, measured: 390 MB for 8 bits of 4:2:0, 965 MB and four times as long for 10 bits with alpha.
    """
    return image.format == FORMAT and (image.mode != "RGB" or image.info.get("bit_depth") != 8)


def profile_of_nclx(nclx: object) -> bytes | None:
    """The ICC profile that an nclx colour description stands for.

    Args:
        nclx: pi-heif's `nclx_profile`: codes of ITU-T H.273 and the chromaticities that they mean.

    Returns:
        An ICC profile of RGB pictures; None for sRGB, and for what is not described.
    """
    if not isinstance(nclx, Mapping):
        return None
    primaries, transfer = nclx.get("color_primaries"), nclx.get("transfer_characteristics")
    gamma = _GAMMAS.get(transfer, _SRGB_GAMMA) if isinstance(transfer, int) else _SRGB_GAMMA
    if primaries == _UNSPECIFIED or (primaries == _BT709 and gamma == _SRGB_GAMMA):
        return None
    places = [f"{colour}_{axis}" for colour in ("white", "red", "green", "blue") for axis in "xy"]
    chromaticities = tuple(nclx.get(f"color_primary_{place}", 0.0) for place in places)
    return profile_of_chunks({"gamma": gamma, "chromaticity": chromaticities}, grey=False)
