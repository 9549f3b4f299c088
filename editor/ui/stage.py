"""The live picture: an HTML component whose browser side asks for frames, newest slider values first."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import gradio as gr
import numpy as np
from numpy.typing import NDArray

from editor.face.box import LEAST_BOX
from editor.face.photo import FacePhoto, PhotoFace
from editor.measure.detail import crop_psnr
from editor.measure.fit import Fit
from editor.photo_session import PhotoSession

ASSETS = Path(__file__).parent / "assets"
JPEG_QUALITY = 95  # of frames; what is saved is PNG
DRAWN = "This face was drawn by a generative model."  # said by pictures that a browser may save
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"  # one clear pixel

SCRIPTS = ("view.js", "box.js", "aligned.js", "flow.js", "keys.js", "touch.js", "stage.js", "live.js")


class Frames(Protocol):
    """What answers the page's own questions, see `editor.ui.frames`."""

    def draw(self, question: object) -> dict[str, Any]:
        """One live frame."""

    def inspect(self, question: object) -> dict[str, Any]:
        """The face as the model sees it."""

    def save(self, question: object) -> dict[str, Any]:
        """The file to save."""

    def choose(self, question: object) -> dict[str, Any]:
        """Another face."""

    def box(self, question: object) -> dict[str, Any]:
        """A box on the photo."""

    def describe(self, question: object) -> dict[str, Any]:
        """The edits as a file and in words."""

    def rebase(self, question: object) -> dict[str, Any]:
        """The edited picture as the photo to go on from."""

    def repeat(self, question: object) -> dict[str, Any]:
        """What a saved edit says."""


def data_uri(data: bytes, kind: str) -> str:
    """`data` as the address of an image of this kind ("jpeg", "png"), which needs no file on the server."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8], note: str = "") -> str:
    """Pixels [H, W, 3] uint8 RGB as a JPEG data address, in a fraction of a millisecond.

    Args:
        pixels: The picture.
        note: What the file says of itself, as its comment.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    start, rest, comment = data[:2].tobytes(), data[2:].tobytes(), note.encode()
    said = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment if note else b""
    return data_uri(start + said + rest, "jpeg")


@dataclass(frozen=True, kw_only=True)
class SpaceView:
    """One reconstruction as the stage shows it."""

    space: str
    pixels: NDArray[np.uint8]  # [H, W, 3]
    milliseconds: float  # to draw it; with the inversion, where that has drawn it
    with_inversion: bool = False
    likeness: float | None = None  # to the photo's person, in [-1, 1]; None where nothing measures it


SPACE_LABELS = {"w": "W", "w+": "W+", "f": "W+ & F"}


def face_value(
    token: str,
    version: int,
    opened: PhotoSession,
    spaces: Sequence[str],
    *,
    timing: str,
    generation: int,
    thing: str = "face",
) -> str:
    """What the stage shows of a newly chosen face, as the component's value.

    Args:
        token: The page's key to its visit.
        version: Rises with every face.
        opened: The photo, and which of its faces is edited.
        spaces: What it can be edited in.
        timing: What the inversion took.
        generation: Which of the app's models drew it: sliders of another one mean nothing here.
        thing: What is edited, in a word.
    """
    session, photo = opened.session, opened.photo
    crop = session.content.cut(session.crop)
    height, width = opened.pixels.shape[:2]
    return json.dumps(
        {
            "token": token,
            "version": version,
            "photo": jpeg_uri(crop if photo is None else photo.pixels),
            "base": None if opened.base is None else jpeg_uri(opened.base),
            "width": width,
            "height": height,
            "faces": [] if photo is None else [_box(photo, face) for face in photo.faces],
            "face": opened.chosen,
            "thing": thing,
            "aspect": session.content.aspect,
            "box": None if photo is None or photo.box is None else _drawn_box(opened, photo),
            "strengths": dict(session.strengths),
            "toView": opened.to_pixels[:2].T.ravel().tolist(),
            "crop": jpeg_uri(crop),
            "spaces": [{"space": space, "label": SPACE_LABELS[space]} for space in spaces],
            "chosen": session.space,
            "timing": timing,
            "generation": generation,
        }
    )


def inspected(crop: NDArray[np.uint8], views: Sequence[SpaceView], fit: Fit | None) -> dict[str, Any]:
    """What the stage shows beside the photo.

    Args:
        crop: The face [R, R, 3].
        views: Reconstructions of it, one a space.
        fit: How well it fits the model, and what lowers that; None shows no gauge.
    """
    return {
        "spaces": [
            {
                "space": view.space,
                "label": SPACE_LABELS[view.space],
                "src": jpeg_uri(view.pixels, DRAWN),
                "psnr": f"{crop_psnr(crop, view.pixels):.1f} dB",
                "likeness": "" if view.likeness is None else f"identity {view.likeness:.2f}",
                "milliseconds": f"{view.milliseconds:.0f} ms{' with inversion' * view.with_inversion}",
            }
            for view in views
        ],
        "fit": None if fit is None else fit.share,
        "reason": "" if fit is None else fit.reason,
    }


def _box(photo: FacePhoto, face: PhotoFace) -> dict[str, Any]:
    """Number and place of a face, as parts of the photo's sides, and why it cannot be edited."""
    x0, y0, x1, y1 = face.face.box
    left, top, right, bottom = x0 / photo.width, y0 / photo.height, x1 / photo.width, y1 / photo.height
    return {"number": face.number, "box": [left, top, right - left, bottom - top], "refusal": face.refusal}


def _drawn_box(opened: PhotoSession, photo: FacePhoto) -> dict[str, Any]:
    """Where a photo's box lies and how small it may be, in parts of the sides, and whether it was placed."""
    (face,) = photo.faces
    aspect = opened.session.content.aspect
    least = LEAST_BOX * min(1, aspect) / photo.width
    return {"at": _box(photo, face)["box"], "aspect": aspect, "least": least, "placed": opened.placed}


def build_stage(frames: Frames) -> gr.HTML:
    """The component.

    Args:
        frames: Answers what the page asks for.
    """

    # Gradio marks server functions with an attribute, which bound methods do not take.
    def draw_frame(question: dict[str, Any]) -> dict[str, Any]:
        return frames.draw(question)

    def inspect_face(question: dict[str, Any]) -> dict[str, Any]:
        return frames.inspect(question)

    def save_photo(question: dict[str, Any]) -> dict[str, Any]:
        return frames.save(question)

    def choose_face(question: dict[str, Any]) -> dict[str, Any]:
        return frames.choose(question)

    def choose_box(question: dict[str, Any]) -> dict[str, Any]:
        return frames.box(question)

    def describe_edit(question: dict[str, Any]) -> dict[str, Any]:
        return frames.describe(question)

    def rebase_photo(question: dict[str, Any]) -> dict[str, Any]:
        return frames.rebase(question)

    def repeat_edit(question: dict[str, Any]) -> dict[str, Any]:
        return frames.repeat(question)

    scripts = [(ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return gr.HTML(
        value="",
        html_template=(ASSETS / "stage.html").read_text(encoding="utf-8"),
        css_template=(ASSETS / "stage.css").read_text(encoding="utf-8"),
        js_on_load="\n".join(scripts),
        server_functions=[
            draw_frame,
            inspect_face,
            save_photo,
            choose_face,
            choose_box,
            describe_edit,
            rebase_photo,
            repeat_edit,
        ],
        blank=BLANK,
        elem_id="stage",
    )
