"""build_demo: the widgets and how they are wired."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from itertools import groupby
from typing import Any, cast

import gradio as gr

from editor.model.shelf import ModelShelf
from editor.own.maker import Judge
from editor.pipeline import Editor
from editor.ui.examples import build_examples, make_examples
from editor.ui.handlers import Handlers
from editor.ui.page import Page, PhotoButton
from editor.ui.panels.model_picker import ModelPicker, OpenModel
from editor.ui.panels.own_panel import OwnEditPanel
from editor.ui.panels.own_widgets import build_own_edits
from editor.ui.serving.api import Endpoint, ProgramAPI, spoken
from editor.ui.serving.uploads import MAX_BYTES
from editor.ui.stage import ASSETS, build_stage
from editor.ui.turns import in_turn
from editor.ui.words import slider_ends, slider_step, slider_words
from inversion.directions.linear import EditDirection
from stylegan2.errors import StyleGANError

# Seconds: how often Gradio's file cache is swept, and how old its files may grow. Uploads go with their
# visits; while a visit lasts its photo is read again to be saved.
KEEP_FILES = (300, 86_400)
# In each space, where the slider stands at first; more draws closer, and edits noisier.
STEPS = 30


# Options of events: such as keep the machine busy, which take turns of our own, see `in_turn`; optimisations,
# each of which waits for its turn in a thread; and such as pass the queue, so that who waits can be stopped.
_HEAVY = {"concurrency_limit": None, "api_visibility": "private"}
_LONG = {
    "concurrency_limit": 12,
    "concurrency_id": "optimise",
    "show_progress": "hidden",
    "api_visibility": "private",
}
# The visit that this page had before it was loaded again, see `flow.js`.
_BACK = """() => {
  try { return JSON.parse(sessionStorage.getItem("face-editor-visit")).token; } catch { return ""; }
}"""
# Number the page's choices of a face, so that the last one wins, however long a photo takes to be sent.
_PHOTO = "(photo, token) => [photo, token, String(window.facePump.photoAction)]"
_EXAMPLE = "(token) => [token, String(++window.facePump.actions)]"
_AT_ONCE = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def _build_photo() -> PhotoButton:
    """The button that takes photos, and beside it the other ways by which they come to it."""
    with gr.Group(elem_id="photo"):
        photo = PhotoButton("Open a photo", variant="primary", size="sm", elem_id="open-photo", min_width=120)
    gr.HTML(
        html_template=(ASSETS / "source.html").read_text(encoding="utf-8"),
        css_template=(ASSETS / "source.css").read_text(encoding="utf-8"),
        js_on_load=(ASSETS / "source.js").read_text(encoding="utf-8"),
        most=MAX_BYTES,
        elem_id="source",
    )
    return photo


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
        about = '<button type="button" data-help="optimise">what is this?</button>'
        gr.HTML(about, elem_id="about-steps")
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
    api: ProgramAPI


def build_demo(
    editor: Editor,
    open_model: OpenModel | None = None,
    judge: Judge | None = None,
    shelf: ModelShelf | None = None,
) -> Built:
    """The app around `editor`; `editor.ui.serving.launching.launch` serves it.

    Args:
        editor: Of the model that the app starts with.
        open_model: Lets those who look at the page choose another model, for all of them; None does not.
            It opens what they name, also files of this machine.
        judge: Tells how well faces fit a sentence; None where nobody named CLIP's encoders.
        shelf: Models that are known by name, where another may be chosen; None for the user's own.
    """
    handlers = Handlers(editor, make_examples(editor))
    api = ProgramAPI(lambda: handlers.editor, handlers.light, handlers.long)
    with Page(
        title="Live face editor", analytics_enabled=False, delete_cache=KEEP_FILES, fill_width=True
    ) as demo:
        picker = open_model and ModelPicker(handlers, open_model, _footer, shelf or ModelShelf())
        _wire(demo, _build_page(handlers, open_model is not None, judge), handlers, picker)
        _offer_api(demo, api)
    return Built(demo, handlers, api)


@dataclass(frozen=True, kw_only=True)
class _Widgets:
    token: gr.State
    made: gr.State  # how many edits of its own the visit has made
    model: gr.State | None  # changes with the model; None where that stays
    top: gr.Row
    photo: PhotoButton
    status: gr.HTML
    stage: gr.HTML
    steps: gr.Slider
    optimise: gr.Button
    stop: gr.Button
    below: gr.Column
    footer: gr.Markdown


def _build_page(handlers: Handlers, choosable: bool, judge: Judge | None) -> _Widgets:
    """What stays as it is; examples and the choice of a model are put to it by `_wire`."""
    token, made, model = gr.State(None), gr.State(0), gr.State(0) if choosable else None
    with gr.Row(elem_id="top", equal_height=False) as top:
        gr.Markdown("# Live face editor", elem_id="title")
        photo = _build_photo()
    with gr.Row(elem_id="work", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="centre"):
            status = _build_text("Loading the model.", "status")
            stage = build_stage(handlers.frames)
        with gr.Column(min_width=320, elem_id="edits"):
            _rebuilt(lambda: _build_edits(handlers.editor), model)
            build_own_edits(OwnEditPanel(handlers, judge), token, made, model, status, _slider, _wire_own)
            steps, optimise, stop = _build_optimisation()
    with gr.Column(elem_id="below") as below:
        footer = gr.Markdown(_footer(handlers.editor), elem_id="footer")
    return _Widgets(
        token=token, made=made, model=model, top=top, photo=photo, status=status, stage=stage,
        steps=steps, optimise=optimise, stop=stop, below=below, footer=footer,
    )  # fmt: skip


def _wire(demo: gr.Blocks, page: _Widgets, handlers: Handlers, picker: ModelPicker | None) -> None:
    """Connect what is on the page with what it does."""
    token, shown = page.token, [page.stage, page.status]
    heavy: dict[str, Any] = {**_HEAVY, "show_progress_on": page.status}
    first_fit: dict[str, Any] = {**_LONG, "inputs": token, "outputs": [*shown, page.stop]}
    optimisation = {**first_fit, "inputs": [token, page.steps]}
    expected: dict[str, Any] = {**_AT_ONCE, "inputs": token, "outputs": [page.status, page.stop]}
    action = gr.Textbox(visible="hidden")  # see `_PHOTO`

    def say(text: str) -> tuple[Any, Any]:
        return gr.skip(), text

    def build_example_strip() -> None:
        examples = build_examples(handlers.examples)
        open_example = in_turn(handlers.turns, handlers.open_example, say)
        chosen = examples.select(open_example, [token, action], shown, js=_EXAMPLE, **heavy)
        chosen.then(handlers.expect_fit, **expected).then(handlers.fit_new, **first_fit)

    with page.top:
        _rebuilt(build_example_strip, page.model)
    if picker is not None and page.model is not None:
        with page.below:
            changed = _build_picker(picker, token, [page.model, page.footer, *shown], heavy)
        demo.load(picker.told, None, changed, api_visibility="private")
    back = gr.Textbox(visible="hidden")
    enter = in_turn(handlers.turns, handlers.enter, lambda text: (gr.skip(), *say(text), gr.skip()))
    demo.load(enter, back, [token, *shown, page.made], js=_BACK, **heavy)
    # One that comes while another is being opened is not dropped.
    newest = {**heavy, "trigger_mode": "always_last"}
    chosen = [page.photo, token, action]
    open_photo = in_turn(handlers.turns, handlers.open_photo, say)
    arrived = page.photo.upload(open_photo, chosen, shown, js=_PHOTO, **newest)
    arrived.then(handlers.expect_fit, **expected).then(handlers.fit_new, **first_fit)
    page.optimise.click(handlers.expect_optimisation, **expected).then(handlers.optimise, **optimisation)
    page.stop.click(handlers.stop, token, None, queue=False, api_visibility="private")
    demo.unload(handlers.leave)


def _offer_api(demo: gr.Blocks, api: ProgramAPI) -> None:
    """What programs may ask for, for Gradio's clients, told with what each argument is."""
    for endpoint in api.endpoints():
        offered = gr.api(  # type: ignore[attr-defined]
            _for_clients(endpoint),
            api_name=endpoint.name,
            api_description=endpoint.about,
            concurrency_id="programs",
        )
        inputs = demo.fns[offered["id"]].inputs
        for block, words in zip(inputs, endpoint.words, strict=True):
            # The only place where Gradio takes words for an argument that no component stands for.
            told = cast("gr.components.Component", block).api_info()
            vars(block)["api_info"] = partial(dict, told, additional_description=words)


def _for_clients(endpoint: Endpoint) -> Callable[..., dict[str, Any]]:
    @wraps(endpoint.call)  # Gradio reads its signature
    def call(*data: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            return endpoint.answer(data)
        except StyleGANError as error:
            raise gr.Error(spoken(error), print_exception=False) from None

    return call


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
        What tells of models: the card of the one in use, the list, and the footer.
    """
    with gr.Accordion("Model", open=False, elem_id="model"):
        card = _build_text("", "model-card")
        known = gr.Dropdown(
            [],
            label="Models here",
            info="bundled, opened before, or found by their names beside the app",
            elem_id="known-models",
        )
        name = gr.Textbox(
            label="Another model",
            info="a name, a file or folder of this computer, or owner/name of Hugging Face",
            max_lines=1,
            elem_id="model-name",
        )
        button = gr.Button("Open model", elem_id="open-model", size="sm")
    known.input(None, known, name, js="(source) => source", api_visibility="private")
    generation, footer, *shown = changed
    one_at_a_time = {**heavy, "concurrency_limit": 1, "concurrency_id": "choice of a model"}
    for event in (button.click, name.submit):
        event(picker.choose, [name, token], [generation, card, known, footer, *shown], **one_at_a_time)
    return [card, known, footer]


def _footer(editor: Editor) -> str:
    note = editor.decoder.renderer.engine.note
    return (
        f"What an edit changes is drawn by a generative model of {editor.resolution} px; "
        "saved photos say so in their metadata. "
        "Photos stay on this server's disk only while the page is open, and some seconds longer; "
        "nothing is sent elsewhere. "
        "Edit only faces of people who agree. " + note
    )
