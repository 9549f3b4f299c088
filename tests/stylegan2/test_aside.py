import threading

import pytest

from stylegan2.aside import write_whole, written_aside


@pytest.mark.parametrize("shared", [False, True])
def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path, shared):
    file = tmp_path / "a.txt"
    file.write_text("before")

    def write():
        with written_aside(file, shared=shared) as partial:
            partial.write_text("half")
            assert file.read_text() == "before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a.txt", "before")]


def test_the_rest_of_a_killed_process_is_written_over(tmp_path):
    with written_aside(tmp_path / "a.txt") as partial:
        partial.write_text("new")
        partial.with_name("left").write_text(partial.name)
    name = (tmp_path / "left").read_text()
    (tmp_path / name).write_text("the rest of one that was killed")
    with written_aside(tmp_path / "a.txt") as partial:
        partial.write_text("newer")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", "left"]


def test_two_at_once_write_one_whole_file(tmp_path):
    file, begun, ended = tmp_path / "a.txt", threading.Event(), threading.Event()

    def slow():
        with written_aside(file, shared=True) as partial:
            partial.write_text("slow")
            begun.set()
            ended.wait(10)

    other = threading.Thread(target=slow)
    other.start()
    begun.wait(10)
    write_whole(file, b"quick")
    assert file.read_bytes() == b"quick"
    ended.set()
    other.join()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a.txt", "slow")]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "a.txt", b"")
