import pytest

from editor.ui.store import MAX_AGE, VisitStore


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def upload(store, visit, folder, name="photo.jpg"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"a photo")
    store.add_upload(visit, file)
    return file


def test_tokens_are_distinct_and_too_long_to_guess():
    store = VisitStore(capacity=200)
    tokens = {store.open().token for _ in range(200)}
    assert len(tokens) == len(store) == 200
    assert all(len(token) >= 32 for token in tokens)  # 24 random bytes


def test_a_token_opens_its_own_visit_and_no_other():
    store = VisitStore()
    first, second = store.open("page one"), store.open("page two")
    assert store.find(first.token) is first
    assert store.find(second.token) is second


@pytest.mark.parametrize("token", [None, "", "guess", 7, ["a"], {"a": 1}])
def test_anything_else_opens_nothing(token):
    store = VisitStore()
    store.open()
    assert store.find(token) is None


def test_the_visit_seen_longest_ago_makes_room(clock):
    store = VisitStore(clock, capacity=2)
    first, second = store.open(), store.open()
    store.find(first.token)
    third = store.open()
    assert store.find(second.token) is None
    assert store.find(first.token) is first
    assert store.find(third.token) is third
    assert second.stop.is_set()


def test_silent_visits_expire_with_their_files(clock, tmp_path):
    store = VisitStore(clock)
    silent, alive = store.open(), store.open()
    file = upload(store, silent, tmp_path / "one")
    clock.now = MAX_AGE - 1
    store.find(alive.token)
    clock.now = MAX_AGE + 1
    store.open()
    assert store.find(silent.token) is None
    assert not file.exists()
    assert store.find(alive.token) is alive


def test_silent_visits_expire_without_another_visitor(clock, tmp_path):
    store = VisitStore(clock)
    silent, alive = store.open(), store.open()
    file = upload(store, silent, tmp_path / "one")
    clock.now = MAX_AGE
    store.find(alive.token)
    store.sweep()
    assert len(store) == 2
    clock.now = MAX_AGE + 1
    store.sweep()
    assert store.find(silent.token) is None
    assert silent.stop.is_set()
    assert not file.exists()
    assert store.find(alive.token) is alive


def test_a_closed_page_takes_its_visit_and_its_files_along(tmp_path):
    store = VisitStore()
    visit, other = store.open("page one"), store.open("page two")
    mine = [upload(store, visit, tmp_path / "a"), upload(store, visit, tmp_path / "b")]
    theirs = upload(store, other, tmp_path / "c")
    store.close_page("page one")
    assert store.find(visit.token) is None
    assert visit.stop.is_set()
    assert not any(file.exists() or file.parent.exists() for file in mine)
    assert theirs.exists()
    assert store.find(other.token) is other


def test_a_closed_page_may_come_back_for_a_while_and_then_is_gone(clock, tmp_path):
    store = VisitStore(clock, grace=8)
    back, gone = store.open("one"), store.open("two")
    file = upload(store, gone, tmp_path / "a")
    assert store.resume(back.token, "a copy") is None  # it is open still
    for page in ("one", "two"):
        store.close_page(page)
    clock.now = 7
    store.sweep()
    assert store.resume(back.token, "one again") is back
    assert file.exists()
    clock.now = 9
    store.sweep()
    assert store.resume(gone.token, "two again") is None
    assert not file.exists()
    assert gone.stop.is_set()
    assert store.find(back.token) is back
    store.close_page("one")  # what it was called before
    assert back.left is None
    store.close_page("one again")
    clock.now = 18
    store.sweep()
    assert len(store) == 0


def test_closing_an_unknown_page_or_a_lost_file_is_no_error(tmp_path):
    store = VisitStore()
    visit = store.open("page")
    upload(store, visit, tmp_path / "a").unlink()
    store.close_page("another")
    store.close_page(None)
    assert len(store) == 1
    store.close_page("page")
    assert len(store) == 0


def test_a_folder_that_holds_something_else_stays(tmp_path):
    store = VisitStore()
    file = upload(store, store.open("page"), tmp_path / "a")
    (tmp_path / "a" / "other.txt").write_text("not an upload")
    store.close_page("page")
    assert not file.exists()
    assert (tmp_path / "a" / "other.txt").exists()


def test_an_upload_that_comes_after_the_end_is_deleted_at_once(tmp_path):
    store = VisitStore()
    visit = store.open("page")
    store.close_page("page")
    assert not upload(store, visit, tmp_path / "late").exists()
