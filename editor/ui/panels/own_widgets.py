"""Widgets for edits of one's own."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from editor.own.mixing import SCALES
from editor.ui.panels.own_panel import FINDS, NO_CLIP, OwnEditPanel
from editor.ui.stage import ASSETS
from inversion.directions.linear import EditDirection

_SEND = {  # what the page adds to an event's values, by the name of the hidden box that it stands in
    "ratings": "window.ownEdits.ratings()",
    "place": "window.ownEdits.place()",
    "strengths": "JSON.stringify(window.facePump.strengths)",
}


Slider = Callable[[EditDirection, float], gr.Slider]
Wire = Callable[[dict[str, gr.Slider]], None]
_EVENT: dict[str, Any] = {
    "concurrency_limit": 1,
    "concurrency_id": "own",
    "show_progress": "hidden",
    "api_visibility": "private",
}


def build_own_edits(
    panel: OwnEditPanel,
    token: gr.State,
    made: gr.State,
    model: gr.State | None,
    status: gr.HTML,
    slider: Slider,
    wire: Wire,
) -> None:
    """Own edits' sliders, and below them the ways to make one.

    Args:
        panel: Does the work.
        token: Of the visit.
        made: How many edits it has made.
        model: Changes with the model; None where that stays.
        status: The status line.
        slider: Builds a slider that stands at a strength.
        wire: Connects sliders with the picture.
    """

    def build_sliders(_made: int, token: str | None, *_model: int) -> None:
        edits, strengths = panel.edits(token)
        if not len(edits):
            return
        with gr.Group(elem_classes="edit-group"):
            gr.Markdown("**Your own**", elem_classes="group-title")
            sliders = {}
            for name, edit in edits.items():
                sliders[name] = slider(edit, strengths.get(name, 0.0))
                gr.HTML(panel.link(edit), elem_classes="own-link")
        wire(sliders)

    models = [] if model is None else [model]
    gr.render(
        inputs=[made, token, *models],
        triggers=[made.change, *(each.change for each in models)],
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="rendering",
    )(build_sliders)
    _build_ways(panel, token, made, status)


def _build_ways(panel: OwnEditPanel, token: gr.State, made: gr.State, status: gr.HTML) -> None:
    hidden = {name: gr.Textbox(visible="hidden", elem_id=f"own-{name}-sent") for name in _SEND}

    def sends(values: list[gr.components.Component], *more: str) -> dict[str, Any]:
        """Inputs of an event, and the script that fills in what the page knows."""
        known = [f"v{number}" for number in range(len(values))]
        rest = ["_" * (number + 1) for number in range(len(more))]
        script = f"({', '.join([*known, *rest])}) => [{', '.join([*known, *(_SEND[name] for name in more)])}]"
        inputs = [*values, *(hidden[name] for name in more)]
        return {"inputs": inputs, "js": script, "outputs": [made, status], **_EVENT}

    with gr.Accordion("Your own edits", open=False, elem_id="own-edits"):
        label = gr.Textbox(label="Name", placeholder="what to call it", max_lines=1, elem_id="own-name")
        with gr.Accordion("Rate faces", open=False, elem_classes="own-way"):
            faces = _page_part("own_faces.js", "own-faces")
            with gr.Row():
                invent = gr.Button("Show 20 faces", size="sm", elem_id="own-invent", min_width=80)
                rate = _make_button("own-rate")
        invent.click(panel.invent, token, [faces, status], **_EVENT)
        rate.click(panel.rate, **sends([token, label], "ratings", "strengths"))
        with gr.Accordion("Point at a place", open=False, elem_classes="own-way"):
            _page_part("own_place.js", "own-place")
            point = _make_button("own-point")
        point.click(panel.point, **sends([token, label], "place", "strengths"))
        with gr.Accordion("Find in the model", open=False, elem_classes="own-way"):
            kind = gr.Dropdown(list(FINDS), label="What", elem_id="own-kind")
            number = gr.Number(1, label="Number", minimum=1, precision=0, elem_id="own-number")
            find = _make_button("own-find")
        find.click(panel.find, **sends([token, label, kind, number], "strengths"))
        with gr.Accordion("Say it", open=False, elem_classes="own-way"):
            if panel.judge is None:
                gr.Markdown(NO_CLIP, elem_id="own-no-clip")
            else:
                hint = "a person with freckles"
                words = gr.Textbox(label="A sentence", placeholder=hint, max_lines=1, elem_id="own-sentence")
                say = _make_button("own-say")
        if panel.judge is not None:
            say.click(panel.say, **sends([token, label, words], "strengths"))
        _build_mix(panel, token, label, sends)
        with gr.Accordion("Open a file", open=False, elem_classes="own-way"):
            said = "An edit that somebody saved"
            file = gr.File(label=said, file_types=[".safetensors"], height=110, elem_id="own-file")
        file.upload(panel.load, **sends([token, file], "strengths"))
        gr.Markdown(
            "An edit is measured as it is made, stays with this page, and works with this model alone.",
            elem_classes="own-note",
        )


def _build_mix(
    panel: OwnEditPanel, token: gr.State, label: gr.Textbox, sends: Callable[..., dict[str, Any]]
) -> None:
    with gr.Accordion("Mix with another face", open=False, elem_classes="own-way"):
        others = panel.others()
        who = gr.Dropdown(others, value=others[0], label="Which", elem_id="own-who")
        photo = gr.File(label="Or of a photo", file_types=["image"], height=110, elem_id="own-photo")
        scale = gr.Dropdown(list(SCALES), value=next(iter(SCALES)), label="What of it", elem_id="own-scale")
        mix = _make_button("own-mix")
    mix.click(panel.mix, **sends([token, label, who, photo, scale], "strengths"))


def _make_button(elem_id: str) -> gr.Button:
    return gr.Button("Make the edit", size="sm", variant="primary", elem_id=elem_id, min_width=80)


def _page_part(script: str, elem_id: str) -> gr.HTML:
    return gr.HTML(
        "",
        html_template='<div class="part"></div>',
        css_template=(ASSETS / "own.css").read_text(encoding="utf-8"),
        js_on_load=(ASSETS / script).read_text(encoding="utf-8"),
        elem_id=elem_id,
    )
