"""The strip of faces to start from: one bundled photo and faces that the model invents."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
from numpy.typing import NDArray

from editor.photo.reading import load_photo
from editor.pipeline import Editor
from editor.session import EditSession
from editor.ui.messages import thing_of
from editor.ui.stage import ASSETS, jpeg_uri
from stylegan2.bundle.content import Content

SEEDS = (3, 8, 14, 21, 34)
ASTRONAUT = ASSETS / "astronaut.jpg"  # NASA, public domain
ASTRONAUT_FACE = (0.2, 0.0, 0.68, 0.48)  # left, top, right, bottom, as fractions of the photo
THUMBNAIL = 96  # pixels a side


@dataclass(frozen=True, kw_only=True)
class Example:
    """A face to start from."""

    label: str
    picture: NDArray[np.uint8]  # [H, H, 3]; without a photo this is the crop itself
    photo: Path | None = None  # to be cropped first
    seed: int = 0  # of `Editor.sample`, where there is no photo
    content: Content = field(default_factory=Content)  # of the picture


def make_examples(editor: Editor) -> list[Example]:
    """The bundled photo, then faces of nobody, the same at every start; of pictures the invented alone."""
    thing = thing_of(editor)
    invented = [
        Example(
            label=f"Invented {thing} {number}",
            picture=sample.crop,
            seed=seed,
            content=sample.content,
        )
        for number, seed in enumerate(SEEDS, 1)
        for sample in (editor.sample(seed),)
    ]
    if editor.content is not None:
        return invented
    photo = load_photo(ASTRONAUT)
    sides = (photo.shape[1], photo.shape[0]) * 2
    left, top, right, bottom = (round(part * side) for part, side in zip(ASTRONAUT_FACE, sides, strict=True))
    face = photo[top:bottom, left:right]
    return [Example(label="Eileen Collins, astronaut (NASA)", picture=face, photo=ASTRONAUT), *invented]


def invented(editor: Editor, example: Example) -> EditSession:
    """An invented face, as the encoder sees it; as it was drawn where there is no encoder."""
    if editor.has_encoder:
        return editor.invert_crop(example.picture)
    return editor.sample(example.seed)


def build_examples(examples: Sequence[Example]) -> gr.HTML:
    """The component; its `select` event tells the index of the face that was clicked."""
    buttons = "".join(_button(index, example) for index, example in enumerate(examples))
    return gr.HTML(
        html_template=f'<div class="faces" role="group" aria-label="Faces to start from">{buttons}</div>',
        css_template=(ASSETS / "examples.css").read_text(encoding="utf-8"),
        js_on_load=(ASSETS / "examples.js").read_text(encoding="utf-8"),
        elem_id="examples",
    )


def _thumbnail(aspect: float) -> tuple[int, int]:
    return round(THUMBNAIL * max(1, aspect)), round(THUMBNAIL * max(1, 1 / aspect))


def _button(index: int, example: Example) -> str:
    pixels = cv2.resize(
        example.content.cut(example.picture), _thumbnail(example.content.aspect), interpolation=cv2.INTER_AREA
    )
    label = html.escape(example.label)
    picture = f'<img alt="{label}" src="{jpeg_uri(pixels)}">'
    return f'<button type="button" data-index="{index}" title="{label}">{picture}</button>'
