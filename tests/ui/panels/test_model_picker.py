import gc
import json
import threading
import weakref
from types import SimpleNamespace

import gradio as gr
import pytest

from editor.model.card import ModelCard
from editor.model.shelf import ModelShelf
from editor.model.source import bundled_models
from editor.ui.blocks import build_demo
from editor.ui.examples import make_examples
from editor.ui.handlers import Handlers
from editor.ui.messages import MODEL_CHANGED, VISIT_OVER
from editor.ui.panels.model_picker import NAMELESS, ModelPicker
from stylegan2.errors import CheckpointError


@pytest.fixture
def another(lone_editor):
    lone_editor.card = ModelCard(name="lone", text="lone: 32 px")
    return lone_editor


@pytest.fixture
def handlers(tiny_editor):
    return Handlers(tiny_editor, make_examples(tiny_editor))


def enter(handlers, page="page"):
    return handlers.enter(SimpleNamespace(session_hash=page))[:3]


@pytest.fixture
def shelf(tmp_path):
    """One that knows nothing of this machine."""
    return ModelShelf([tmp_path / "models"], tmp_path / "cache")


@pytest.fixture
def picker_of(shelf):
    return lambda handlers, open_model: ModelPicker(
        handlers, open_model, lambda editor: f"footer of {editor.card.name}", shelf
    )


def test_another_model_takes_over_with_its_own_face_and_edits(handlers, another, picker_of):
    asked = []

    def open_model(name, report):
        asked.append(name)
        report("Downloading: 1 of 2 MB")
        return another

    token, stage, _ = enter(handlers)
    assert json.loads(stage)["generation"] == 0
    *news, last = picker_of(handlers, open_model).choose("some/model", token)
    assert asked == ["some/model"]
    assert [update[5] for update in news] == ["Downloading: 1 of 2 MB ..."]
    generation, card, _, footer, stage, status = last
    assert (generation, card, footer, status) == (1, "lone: 32 px", "footer of lone", "Opened lone.")
    face = json.loads(stage)
    assert (face["token"], face["generation"]) == (token, 1)
    assert handlers.editor is another
    assert "src" in handlers.frames.draw({"token": token, "strengths": {"component-1": 1.0}})
    assert "no such direction" in handlers.frames.draw({"token": token, "strengths": {"smile": 1.0}})["error"]


def test_other_pages_are_told_that_the_model_was_changed(handlers, another, picker_of):
    (mine, *_), (theirs, *_) = enter(handlers, "mine"), enter(handlers, "theirs")
    list(picker_of(handlers, lambda *_: another).choose("x", mine))
    assert handlers.frames.draw({"token": theirs, "strengths": {}})["error"] == MODEL_CHANGED
    assert "src" in handlers.frames.draw({"token": mine, "strengths": {}})


def test_a_model_that_cannot_be_had_leaves_the_old_one(handlers, picker_of):
    def open_model(name, _):
        raise CheckpointError(f"{name}: a web page, not weights")

    token = enter(handlers)[0]
    before = handlers.editor
    ((*_, status),) = picker_of(handlers, open_model).choose("page.pt", token)
    assert status == "⚠ page.pt: a web page, not weights. The last good result stays."
    assert handlers.editor is before
    assert handlers.generation == 0
    assert "src" in handlers.frames.draw({"token": token, "strengths": {"smile": 1.0}})


@pytest.mark.parametrize(
    ("name", "words"), [("", NAMELESS), ("  ", NAMELESS), (None, NAMELESS), ("tiny", "tiny is open already.")]
)
def test_no_name_and_the_name_of_the_model_in_use_change_nothing(handlers, picker_of, name, words):
    handlers.editor.card = ModelCard(name="tiny", text="tiny: 32 px")
    token, editor = enter(handlers)[0], handlers.editor
    ((*others, status),) = picker_of(handlers, lambda *_: pytest.fail("was opened")).choose(name, token)
    assert (others, status) == ([gr.skip()] * 5, words)
    assert (handlers.editor, handlers.generation) == (editor, 0)


def test_a_model_is_opened_again_by_the_name_of_its_card_and_is_then_among_the_known(
    handlers, another, picker_of, tmp_path
):
    path, asked = tmp_path / "weights.pt", []
    path.write_bytes(b"")

    def open_model(name, _):
        asked.append(name)
        return another

    picker, token, first = picker_of(handlers, open_model), enter(handlers)[0], handlers.editor
    assert [source for _, source in picker.told()[1]["choices"]] == list(bundled_models())
    list(picker.choose(str(path), token))
    assert picker.told()[1]["choices"][len(bundled_models()) :] == [("lone (recent)", str(path))]
    handlers.adopt(first)
    *_, (_, card, known, *_) = picker.choose(" lone ", token)
    assert asked == [str(path)] * 2
    assert card.startswith("lone: ")
    assert (known["choices"][-1], known["value"]) == (("lone (recent)", str(path)), None)


def test_what_did_not_open_is_not_remembered(handlers, picker_of, tmp_path):
    def open_model(name, _):
        raise CheckpointError(f"{name}: a web page, not weights")

    path = tmp_path / "page.pt"
    path.write_bytes(b"")
    picker = picker_of(handlers, open_model)
    list(picker.choose(str(path), enter(handlers)[0]))
    assert len(picker.told()[1]["choices"]) == len(bundled_models())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_that_breaks_the_program_leaves_the_old_one_too(handlers, picker_of):
    def open_model(*_):
        raise MemoryError

    ((*_, status),) = picker_of(handlers, open_model).choose("x", enter(handlers)[0])
    assert "The opening of the model failed; the server's log says why" in status
    for thread in threading.enumerate():
        if thread.name == "opening of the model":
            thread.join()


def test_an_ended_visit_changes_nothing(handlers, picker_of):
    ((*_, status),) = picker_of(handlers, lambda *_: pytest.fail("was opened")).choose("x", "no such token")
    assert status == VISIT_OVER


def test_the_memory_of_the_old_model_is_given_back(tiny_generator, handlers, another, picker_of):
    old = weakref.ref(handlers.editor.inverter)
    handlers.editor.inverter.cycle = handlers.editor.inverter  # as some library's objects have them
    token = enter(handlers)[0]
    shell = handlers.editor
    list(picker_of(handlers, lambda *_: another).choose("x", token))
    del shell.inverter  # the fixture keeps the shell
    gc.collect()
    assert old() is None


class Shell:
    """An editor of one's own around the shared one."""

    def __init__(self, editor):
        self._editor = editor

    def __getattr__(self, name):
        return getattr(self._editor, name)


def test_no_part_of_the_app_keeps_the_first_model(tiny_editor, another):
    shell = Shell(tiny_editor)
    built, old = build_demo(shell, lambda *_: another), weakref.ref(shell)
    del shell
    token = enter(built.handlers)[0]
    assert old() is not None
    built.handlers.adopt(another)
    gc.collect()
    assert old() is None
    assert built.handlers.frames.draw({"token": token, "strengths": {}})["error"] == MODEL_CHANGED
    assert "component-1" in built.api.endpoints()[0].words[1]


def test_the_picker_is_there_only_where_models_may_be_opened(tiny_editor):
    def ids(demo):
        return {block.elem_id for block in demo.blocks.values() if hasattr(block, "elem_id")}

    assert "open-model" not in ids(build_demo(tiny_editor).demo)
    with_picker = build_demo(tiny_editor, lambda *_: tiny_editor).demo
    assert {"open-model", "model-name", "model-card", "known-models"} <= ids(with_picker)
    assert set(with_picker.get_api_info()["named_endpoints"]) == {"/edit", "/faces", "/metrics", "/batch"}
