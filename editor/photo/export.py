"""Write pictures that say of themselves that they were edited."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from editor.errors import ImageInputError

SOFTWARE = "CLCAE editor"
# IPTC's term for a picture made or changed by a trained model, read by the tools that label such pictures.
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    "Iptc4xmpExt:DigitalSourceType="
    '"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def edit_note(strengths: Mapping[str, float]) -> str:
    """What was done, in one line: "Edited or reconstructed by a generative model: smile +1.5"."""
    edits = (
        ", ".join(f"{name} {value:+g}" for name, value in strengths.items() if value) or "no attribute edit"
    )
    return f"Drawn by a generative model from a photo: {edits}"


def encode_png(pixels: NDArray[np.uint8], strengths: Mapping[str, float]) -> bytes:
    """PNG bytes of `pixels` [H, W, 3] uint8, marked as edited in its text chunks and XMP."""
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    info.add_text("Description", edit_note(strengths))
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def save_png(path: str | Path, pixels: NDArray[np.uint8], strengths: Mapping[str, float]) -> None:
    """Write `encode_png` to `path`, which must end in .png.

    Raises:
        ImageInputError: Another ending, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageInputError(f"{path}: ends in {path.suffix or 'nothing'!r}; pictures are written as .png")
    try:
        path.write_bytes(encode_png(pixels, strengths))
    except OSError as error:
        raise ImageInputError(f"{path}: cannot be written: {error.strerror}") from error
