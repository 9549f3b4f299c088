"""build_demo: the widgets and how they are wired."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, cast

import gradio as gr

from editor.own.maker import Judge
from editor.pipeline import Editor
from editor.ui.examples import build_examples, make_examples
from editor.ui.handlers import Handlers
from editor.ui.model_picker import ModelPicker, OpenModel
from editor.ui.own_panel import OwnEditPanel
from editor.ui.own_widgets import build_own_edits
from editor.ui.page import API_NAME, Page, PhotoInput
from editor.ui.serving.api import EditAPI, spoken
from editor.ui.stage import ASSETS, build_stage
from editor.ui.words import slider_ends, slider_step, slider_words
from inversion.directions.linear import EditDirection
from stylegan2.errors import StyleGANError

# Seconds: how often Gradio's file cache is swept, and how old its files may grow. Uploads go with their
# visits; while a visit lasts its photo is read again to be saved.
KEEP_FILES = (300, 86_400)
# In each space, where the slider stands at first; more draws closer, and edits noisier.
STEPS = 30


def _build_photo() -> PhotoInput:
    return PhotoInput(
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        label="Your photo",
        height=240,
        elem_id="photo",
        # Gradio mirrors the photo along with the preview; the style sheet mirrors the preview alone.
        webcam_options=gr.WebcamOptions(mirror=False),
        buttons=[],
    )


def _build_text(value: str, elem_id: str) -> gr.HTML:
    """Plain text; written as text, so that nothing in a message can become HTML."""
    return gr.HTML(
        value,
        html_template='<p role="status"></p>',
        js_on_load=(ASSETS / "status.js").read_text(encoding="utf-8"),
        elem_id=elem_id,
    )


def _slider(direction: EditDirection, value: float = 0.0) -> gr.Slider:
    low, high = slider_ends(direction)
    return gr.Slider(
        low,
        high,
        value=value,
        step=slider_step(direction),
        label=f"{direction.label}, {direction.unit}" if direction.unit else direction.label,
        info=slider_words(direction),
        buttons=["reset"],
        elem_id=f"slider-{direction.name}",
        elem_classes="edit-slider",
    )


def _build_sliders(editor: Editor) -> dict[str, gr.Slider]:
    sliders = {}
    if not len(editor.directions):
        gr.Markdown("This model has no edit directions.")
    for group, members in groupby(editor.directions.values(), key=lambda direction: direction.group):
        with gr.Group(elem_classes="edit-group"):
            gr.Markdown(f"**{group}**", elem_classes="group-title")
            for direction in members:
                sliders[direction.name] = _slider(direction)
    return sliders


def _wire_sliders(sliders: dict[str, gr.Slider], reset: gr.Button, apply_id: str) -> None:
    for name, slider in sliders.items():
        # `input` is the drag; `change` also sees the reset arrow, the reset button and typed numbers.
        for event in (slider.input, slider.change):
            event(
                None,
                slider,
                None,
                js=f"(value) => {{ window.facePump?.set({name!r}, value); }}",
                api_visibility="private",
            )
    zeros = ", ".join("0" for _ in sliders)
    if sliders:
        reset.click(None, None, list(sliders.values()), js=f"() => [{zeros}]", api_visibility="private")
        # The page clicks it when another face is chosen, whose edits the sliders then have to show.
        apply = gr.Button("Apply", elem_id=apply_id, elem_classes="apply-strengths", visible="hidden")
        values = f"() => window.facePump.sliderValues({json.dumps(list(sliders))})"
        apply.click(None, None, list(sliders.values()), js=values, api_visibility="private")


def _build_edits(editor: Editor) -> None:
    """Sliders for the editor's directions, and the button that sets them back."""
    sliders = _build_sliders(editor)
    reset = gr.Button("Reset all", elem_id="reset-all", size="sm", visible=bool(sliders))
    _wire_sliders(sliders, reset, "apply-strengths")


def _wire_own(sliders: dict[str, gr.Slider]) -> None:
    """Own edits come and go by themselves, and have a button of their own that sets them back."""
    reset = gr.Button("Reset your own", elem_id="reset-own", size="sm")
    _wire_sliders(sliders, reset, "apply-own-strengths")


def _build_optimisation() -> tuple[gr.Slider, gr.Button, gr.Button]:
    """Number of steps, the button that starts and the one that stops."""
    with gr.Group(elem_classes="edit-group"):
        steps = gr.Slider(
            10,
            200,
            value=STEPS,
            step=10,
            label="Optimise",
            info="steps in each space",
            elem_classes="edit-slider",
            elem_id="steps",
        )
        with gr.Row(elem_id="optimisation"):
            optimise = gr.Button("Optimise", elem_id="optimise", size="sm", variant="primary", min_width=80)
            stop = gr.Button("Stop", elem_id="stop", size="sm", interactive=False, min_width=80)
    return steps, optimise, stop


def _rebuilt(build: Callable[[], None], model: gr.State | None) -> None:
    """Build now; where the model may change, again for every page that opens and after every change."""
    if model is None:
        build()
    else:
        # One at a time: two renders of a page change the same dict of components.
        again = gr.render(
            inputs=[model], show_progress="hidden", concurrency_limit=1, concurrency_id="rendering"
        )
        again(lambda _: build())


@dataclass(frozen=True)
class Built:
    """The app, not yet running."""

    demo: gr.Blocks
    handlers: Handlers
    api: EditAPI


def build_demo(editor: Editor, open_model: OpenModel | None = None, judge: Judge | None = None) -> Built:
    """The app around `editor`; `editor.ui.serving.launching.launch` serves it.

    Args:
        editor: Of the model that the app starts with.
        open_model: Lets those who look at the page choose another model, for all of them; None does not.
            It opens what they name, also files of this machine.
        judge: Tells how well faces fit a sentence; None where nobody named CLIP's encoders.
    """
    handlers = Handlers(editor, make_examples(editor))
    api = EditAPI(lambda: handlers.editor, handlers.light, handlers.long)
    with Page(
        title="Live face editor", analytics_enabled=False, delete_cache=KEEP_FILES, fill_width=True
    ) as demo:
        token = gr.State(None)
        model = gr.State(0) if open_model else None
        gr.Markdown("# Live face editor\nDrop in a photo; its face becomes editable.", elem_id="title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=250) as left:
                photo = _build_photo()
            with gr.Column(scale=14, min_width=320):
                status = _build_text("Loading the model.", "status")
                stage = build_stage(handlers.frames)
            with gr.Column(scale=7, min_width=320, elem_id="edits"):
                _rebuilt(lambda: _build_edits(handlers.editor), model)
                build_own_edits(OwnEditPanel(handlers, judge), token, model, status, _slider, _wire_own)
                steps, optimise, stop = _build_optimisation()
        footer = gr.Markdown(_footer(editor), elem_id="footer")

        shown = [stage, status]
        heavy: dict[str, Any] = {
            "concurrency_limit": 1,
            "concurrency_id": "model",
            "show_progress_on": status,
            "api_visibility": "private",
        }
        optimisation: dict[str, Any] = {
            "inputs": [token, steps],
            "outputs": [*shown, stop],
            "concurrency_limit": 1,
            "concurrency_id": "optimise",
            "show_progress": "hidden",
            "api_visibility": "private",
        }

        first_fit = {**optimisation, "inputs": token}
        # Past the queue, so that one who waits there can be stopped.
        expected: dict[str, Any] = {
            "inputs": token,
            "outputs": [status, stop],
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }

        def build_example_strip() -> None:
            examples = build_examples(handlers.examples)
            chosen = examples.select(handlers.open_example, token, shown, **heavy)
            chosen.then(handlers.expect_fit, **expected).then(handlers.fit_new, **first_fit)

        with left:
            _rebuilt(build_example_strip, model)
            if open_model is not None and model is not None:
                picker = ModelPicker(handlers, open_model, _footer)
                changed = _build_picker(picker, token, [model, footer, *shown], heavy)
                demo.load(picker.told, None, changed, api_visibility="private")
        demo.load(handlers.enter, None, [token, *shown], **heavy)
        # Pasting clears the picture first: by default the photo is dropped while that is being answered.
        arrived = photo.input(handlers.open_photo, [photo, token], shown, trigger_mode="always_last", **heavy)
        arrived.then(handlers.expect_fit, **expected).then(handlers.fit_new, **first_fit)
        optimise.click(handlers.expect_optimisation, **expected).then(handlers.optimise, **optimisation)
        stop.click(handlers.stop, token, None, queue=False, api_visibility="private")
        demo.unload(handlers.leave)
        _offer_api(demo, api)
    return Built(demo, handlers, api)


def _offer_api(demo: gr.Blocks, api: EditAPI) -> None:
    """`edit` for Gradio's clients, told with what each argument is."""

    def edit(
        photo: str,
        strengths: dict[str, Any],
        space: str | None = None,
        steps: int = 0,
        face: int | None = None,
    ) -> dict[str, Any]:
        try:
            return api.edit(photo, strengths, space, steps or 0, face)
        except StyleGANError as error:
            raise gr.Error(spoken(error), print_exception=False) from None

    offered = gr.api(  # type: ignore[attr-defined]
        edit,
        api_name=API_NAME,
        api_description="Edit faces of a photo; pictures come back as data: addresses.",
        concurrency_id="model",
    )
    inputs = demo.fns[offered["id"]].inputs
    for block, words in zip(inputs, api.words(), strict=True):
        # The only place where Gradio takes words for an argument that no component stands for.
        told = cast("gr.components.Component", block).api_info()
        vars(block)["api_info"] = partial(dict, told, additional_description=words)


def _build_picker(
    picker: ModelPicker, token: gr.State, changed: list[gr.components.Component], heavy: dict[str, Any]
) -> list[gr.components.Component]:
    """What the model in use is, and a way to another.

    Args:
        picker: Opens it.
        token: Of the visit.
        changed: Generation, footer, stage and status line.
        heavy: Options of events that keep the machine busy.

    Returns:
        What tells of the model: its card and the footer.
    """
    with gr.Accordion("Model", open=False, elem_id="model"):
        card = _build_text("", "model-card")
        name = gr.Textbox(
            label="Another model",
            info="bundled, a file or folder of this computer, or owner/name of Hugging Face",
            max_lines=1,
            elem_id="model-name",
        )
        button = gr.Button("Open model", elem_id="open-model", size="sm")
    generation, footer, *shown = changed
    for event in (button.click, name.submit):
        event(picker.choose, [name, token], [generation, card, footer, *shown], **heavy)
    return [card, footer]


def _footer(editor: Editor) -> str:
    note = editor.decoder.renderer.engine.note
    return (
        f"What an edit changes is drawn by a generative model of {editor.resolution} px; "
        "saved photos say so in their metadata. "
        "Photos stay on this server's disk only while the page is open, and nothing is sent elsewhere. "
        "Edit only faces of people who agree. " + note
    )
