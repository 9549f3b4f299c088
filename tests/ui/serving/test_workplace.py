import os
import time

import pytest

from editor.ui.serving.workplace import ABANDONED, LOCK, PREFIX, Workplace


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Makes workplaces and closes those that are left."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    made = []

    def make():
        made.append(Workplace(tmp_path))
        return made[-1]

    yield make
    for place in made:
        place.close()


def upload(place, name, age):
    file = place.folder / "uploads" / name / "photo.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a photo")
    then = time.time() - age
    os.utime(file, (then, then))
    os.utime(file.parent, (then, then))
    return file


def test_gradio_is_told_of_a_folder_of_our_own(places, tmp_path):
    place = places()
    assert os.environ["GRADIO_TEMP_DIR"] == str(place.folder / "uploads")
    assert place.folder.parent == tmp_path
    assert place.folder.stat().st_mode & 0o077 == 0  # nobody else may read it
    upload(place, "a", 0)
    place.close()
    assert list(tmp_path.iterdir()) == []


def test_old_files_without_a_page_are_swept_and_others_stay(places):
    place = places()
    old, shown, fresh = upload(place, "old", 100), upload(place, "shown", 100), upload(place, "fresh", 0)
    unfinished = place.folder / "uploads" / "tmp123"
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (0, 0))
    place.sweep({shown}, max_age=50)
    assert [file.exists() for file in (old, shown, fresh, unfinished)] == [False, True, True, False]


def test_sweeping_goes_on_by_itself(places):
    place = places()
    file = upload(place, "old", 1e6)
    place.keep_tidy(set, every=0.01)
    for _ in range(1000):
        if not file.exists():
            return
        time.sleep(0.01)
    pytest.fail("never swept")


def test_what_a_killed_server_left_is_deleted_and_a_running_one_keeps_its_own(places, tmp_path):
    running = places()
    kept = upload(running, "a", 0)
    left = tmp_path / f"{PREFIX}killed"
    (left / "uploads").mkdir(parents=True)
    (left / LOCK).write_bytes(b"")  # nobody holds it
    (left / "uploads" / "photo.jpg").write_bytes(b"a photo")
    odd = tmp_path / f"{PREFIX}without-lock"
    odd.mkdir()
    other = tmp_path / "something-else"
    other.mkdir()
    places()
    assert kept.exists()
    assert not left.exists()
    assert odd.exists()  # it may be of a server that is just starting
    assert other.exists()
    long_ago = time.time() - 2 * ABANDONED
    os.utime(odd, (long_ago, long_ago))
    places()
    assert not odd.exists()
