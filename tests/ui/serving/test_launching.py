from types import SimpleNamespace

import gradio as gr
import pytest

from editor.ui.examples import make_examples
from editor.ui.handlers import Handlers
from editor.ui.serving.launching import Served
from editor.ui.serving.workplace import Workplace
from editor.ui.store import MAX_AGE, VisitStore
from tests.helpers.browser_visitor import wait_until


@pytest.fixture
def served(tiny_editor):
    """A server whose Gradio knows two pages, one of them closed."""
    closed = []
    pages = {"open": SimpleNamespace(is_closed=False), "closed": SimpleNamespace(is_closed=True)}
    app = SimpleNamespace(state_holder=SimpleNamespace(session_data=pages))

    def close(*, verbose):
        closed.append(verbose)

    demo = SimpleNamespace(app=app, close=close, closed=closed)
    return Served(demo, Handlers(tiny_editor, make_examples(tiny_editor)))


def test_what_gradio_remembers_of_closed_pages_is_dropped(served):
    served.tidy()
    assert list(served.demo.app.state_holder.session_data) == ["open"]


def test_an_old_visit_ends_in_a_round_of_tidying_without_another_visitor(served, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(served.handlers, "store", VisitStore(lambda: now[0]))
    store, place = served.handlers.store, Workplace(tmp_path)
    visit = store.open("page")
    file = tmp_path / "hash" / "photo.jpg"
    file.parent.mkdir()
    file.write_bytes(b"a photo")
    store.add_upload(visit, file)
    served.tidy()
    assert len(store) == 1
    now[0] = MAX_AGE + 1
    place.keep_tidy(store.files, served.tidy, every=0.01)
    wait_until(lambda: len(store) == 0)
    place.close()
    assert not file.exists()
    assert visit.stop.is_set()


def test_gradio_still_remembers_pages_where_they_are_looked_for():
    """Another version of Gradio may keep them elsewhere."""
    with gr.Blocks() as demo:
        gr.Textbox()
    app = gr.routes.App.create_app(demo)
    state = app.state_holder["page"]
    assert list(app.state_holder.session_data) == ["page"]
    assert state.is_closed is False


def test_the_end_takes_the_uploads_along_and_cancels_the_work(served, tmp_path):
    visit = served.handlers.store.open("page")
    stop = served.handlers.store.expect_work(visit)
    file = tmp_path / "hash" / "photo.jpg"
    file.parent.mkdir()
    file.write_bytes(b"a photo")
    served.handlers.store.add_upload(visit, file)
    served.close()
    assert served.demo.closed == [False]
    assert stop.is_set()
    assert not file.parent.exists()
    assert len(served.handlers.store) == 0
