"""The live picture: an HTML component whose browser side asks for frames, newest slider values first."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from numpy.typing import NDArray

from editor.measure.detail import crop_psnr
from editor.measure.fit import Fit

ASSETS = Path(__file__).parent / "assets"
JPEG_QUALITY = 95  # of frames; what is saved is PNG
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"  # one clear pixel

ServerFunction = Callable[[dict[str, Any]], dict[str, Any]]


def data_uri(data: bytes, kind: str) -> str:
    """`data` as the address of an image of this kind ("jpeg", "png"), which needs no file on the server."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels [H, W, 3] uint8 RGB as a JPEG data address, in a fraction of a millisecond."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    return data_uri(data.tobytes(), "jpeg")


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
    crop: NDArray[np.uint8],
    views: list[SpaceView],
    chosen: str,
    timing: str,
    fit: Fit | None,
    generation: int,
) -> str:
    """What the stage shows for a newly inverted face, as the component's value.

    Args:
        token: The page's key to its visit.
        version: Rises with every face.
        crop: The cropped photo [H, W, 3].
        views: Its reconstructions, one a space.
        chosen: The space that edits start in.
        timing: What the inversion took.
        fit: How well the face fits the model, and what lowers that; None shows no gauge.
        generation: Which of the app's models drew it: sliders of another one mean nothing here.
    """
    spaces = [
        {
            "space": view.space,
            "label": SPACE_LABELS[view.space],
            "src": jpeg_uri(view.pixels),
            "psnr": f"{crop_psnr(crop, view.pixels):.1f} dB",
            "likeness": "" if view.likeness is None else f"identity {view.likeness:.2f}",
            "milliseconds": f"{view.milliseconds:.0f} ms{' with inversion' * view.with_inversion}",
        }
        for view in views
    ]
    return json.dumps(
        {
            "token": token,
            "version": version,
            "crop": jpeg_uri(crop),
            "spaces": spaces,
            "chosen": chosen,
            "timing": timing,
            "fit": None if fit is None else fit.share,
            "reason": "" if fit is None else fit.reason,
            "generation": generation,
        }
    )


def build_stage(draw: ServerFunction, save: ServerFunction) -> gr.HTML:
    """The component.

    Args:
        draw: {"token", "strengths", "space"} -> {"src", "milliseconds", "engine"} or {"error"}; for every
            frame.
        save: The same question -> {"src", "name"} or {"error"}; called by the link under the picture.
    """

    # Gradio marks server functions with an attribute, which bound methods do not take.
    def draw_frame(question: dict[str, Any]) -> dict[str, Any]:
        return draw(question)

    def save_picture(question: dict[str, Any]) -> dict[str, Any]:
        return save(question)

    return gr.HTML(
        value="",
        html_template=(ASSETS / "stage.html").read_text(encoding="utf-8"),
        css_template=(ASSETS / "stage.css").read_text(encoding="utf-8"),
        js_on_load=(ASSETS / "stage.js").read_text(encoding="utf-8"),
        server_functions=[draw_frame, save_picture],
        blank=BLANK,
        elem_id="stage",
    )
