import io
import json
import threading
import zipfile
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from editor.ui.examples import ASTRONAUT, make_examples
from editor.ui.handlers import Handlers
from editor.ui.messages import VISIT_OVER
from editor.ui.panels.batch_panel import NAME, BatchPanel, batch_route

SLIDERS = json.dumps({"strengths": {"smile": 1.5}, "space": "w"})


@pytest.fixture
def handlers(tiny_editor, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return Handlers(tiny_editor, make_examples(tiny_editor))


@pytest.fixture
def panel(handlers):
    return BatchPanel(handlers)


@pytest.fixture
def client(handlers):
    return TestClient(Starlette(routes=[batch_route(handlers.store)]))


def enter(handlers, page="page"):
    return handlers.enter(SimpleNamespace(session_hash=page))[0]


def sent(tmp_path, *names):
    """Files as uploads arrive, one in a folder of its own each."""
    paths = []
    for number, name in enumerate(names):
        paths.append(tmp_path / "uploads" / f"own{number}" / "hash" / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_bytes(ASTRONAUT.read_bytes())
    return [str(path) for path in paths]


def address_of(link):
    return link.partition('href="')[2].partition('"')[0].removeprefix(".")


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_photos_are_edited_as_the_sliders_stand_and_leave_as_a_zip(handlers, panel, client, tmp_path):
    token = enter(handlers)
    assert panel.take(sent(tmp_path, "a.jpg", "b.jpg"), token).startswith("Ready to be edited: 2.")
    *told, (link, status, stop) = panel.run(token, False, SLIDERS)
    assert [words for _, words, _ in told] == ["1 of 2: a.jpg done", "2 of 2: b.jpg done"]
    assert all(button["interactive"] for *_, button in told)
    assert (status, stop["interactive"]) == ("Done: 2 edited, 0 failed.", False)
    assert str(tmp_path) not in link + status
    reply = client.get(address_of(link))
    assert reply.status_code == 200
    assert NAME in reply.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(reply.content)) as results:
        assert results.namelist() == ["a.jpg", "b.jpg"]
        assert results.read("a.jpg") == results.read("b.jpg") != ASTRONAUT.read_bytes()
        assert b"smile +1.5" in results.read("a.jpg")


def test_files_and_results_go_with_the_visit_and_older_ones_before(handlers, panel, client, tmp_path):
    token = enter(handlers)
    panel.take(sent(tmp_path, "a.jpg"), token)
    first = list(panel.run(token, False, SLIDERS))[-1][0]
    second = list(panel.run(token, False, SLIDERS))[-1][0]
    assert client.get(address_of(first)).status_code == 404
    assert client.get(address_of(second)).status_code == 200
    panel.take(sent(tmp_path, "c.jpg"), token)
    assert sorted(path.name for path in files_in(tmp_path)) == ["c.jpg", NAME]
    handlers.store.close()
    assert files_in(tmp_path) == []
    assert client.get(address_of(second)).status_code == 404
    for guess in ("guess", "%C3%BC", "..%2F.."):
        assert client.get(f"/batch/{guess}").status_code == 404


def test_it_can_be_stopped_and_begun_again(handlers, panel, tmp_path):
    token = enter(handlers)
    panel.take(sent(tmp_path, "a.jpg", "b.jpg", "c.jpg"), token)
    updates = panel.run(token, False, SLIDERS)
    next(updates)
    panel.stop("guess")
    assert not handlers.store.find(token).halt.is_set()
    panel.stop(token)
    status = list(updates)[-1][1]
    assert status.startswith("Stopped: ")
    assert int(status.split()[1]) < 3
    assert list(panel.run(token, False, SLIDERS))[-1][1] == "Done: 3 edited, 0 failed."


def test_photos_of_a_batch_take_their_turns_like_those_of_pages(handlers, panel, tmp_path):
    token, told = enter(handlers), []
    panel.take(sent(tmp_path, "a.jpg"), token)
    reader = threading.Thread(target=lambda: told.extend(panel.run(token, False, SLIDERS)))
    with handlers.turns.passing():
        reader.start()
        reader.join(0.5)
        assert told == []
    reader.join()
    assert told[-1][1] == "Done: 1 edited, 0 failed."


def test_without_an_encoder_others_open_photos_meanwhile(lone_editor, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr("editor.photo_editing.OPTIMISATION_STEPS", 2)
    handlers = Handlers(lone_editor, make_examples(lone_editor))
    panel, token = BatchPanel(handlers), enter(handlers)
    panel.take(sent(tmp_path, "a.jpg"), token)
    sliders = json.dumps({"strengths": {"component-1": 1}, "space": None})
    with handlers.turns.passing(), handlers.light.passing():
        assert list(panel.run(token, False, sliders))[-1][1] == "Done: 1 edited, 0 failed."


def test_the_end_of_the_visit_stops_it_and_leaves_nothing(handlers, panel, tmp_path):
    token = enter(handlers)
    panel.take(sent(tmp_path, *(f"{number}.jpg" for number in range(20))), token)
    updates = panel.run(token, False, SLIDERS)
    next(updates)
    handlers.store.close()
    status = list(updates)[-1][1]
    assert "20 edited" not in status
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("sliders", "words"),
    [
        ("", "the page sent none"),
        ("[]", "the page sent none"),
        ('{"strengths": {"secret": 1}, "space": null}', "no such direction"),
        ('{"strengths": {"smile": 99}, "space": null}', "outside"),
        ('{"strengths": {}, "space": "secret"}', "space: must be"),
    ],
)
def test_sliders_that_are_none_change_nothing(handlers, panel, tmp_path, sliders, words):
    token = enter(handlers)
    panel.take(sent(tmp_path, "a.jpg"), token)
    *_, (_, status, _) = panel.run(token, False, sliders)
    assert words in status
    assert "secret" not in status


def test_what_is_no_photo_is_refused_at_once_and_deleted(handlers, panel, tmp_path):
    token = enter(handlers)
    (path,) = sent(tmp_path, "a.zip")
    assert "no zip that can be read" in panel.take([path], token)
    assert files_in(tmp_path) == []
    ((_, status, _),) = panel.run(token, False, SLIDERS)
    assert "photos: got 0" in status


def test_an_ended_visit_keeps_nothing(handlers, panel, tmp_path):
    assert panel.take(sent(tmp_path, "a.jpg"), "guess") == VISIT_OVER
    assert files_in(tmp_path) == []
    ((_, status, _),) = panel.run("guess", False, SLIDERS)
    assert status == VISIT_OVER
