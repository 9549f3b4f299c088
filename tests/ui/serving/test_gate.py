import threading

import pytest

from editor.ui.serving.gate import BusyError, Gate, GivenUpError


def test_one_at_a_time_whoever_comes():
    gate, inside, most = Gate(), [0], [0]

    def work():
        with gate.passing():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.01)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_who_comes_while_many_wait_is_turned_away():
    gate = Gate(most_waiting=1)
    waits, go_on = threading.Event(), threading.Event()

    def waiting():
        waits.set()
        with pytest.raises(GivenUpError), gate.passing(go_on.is_set):
            pass

    def turned_away():
        try:
            with gate.passing(lambda: True):
                raise AssertionError("two inside")
        except GivenUpError:
            return False
        except BusyError:
            return True

    with gate.passing():
        thread = threading.Thread(target=waiting)
        thread.start()
        assert waits.wait(10)
        while not turned_away():  # until the other has its place to wait in
            pass
        go_on.set()
        thread.join()
    with gate.passing():
        pass


def test_an_error_inside_lets_the_next_one_in():
    gate = Gate(most_waiting=0)
    with pytest.raises(KeyError), gate.passing():
        raise KeyError
    with gate.passing():
        pass


def test_who_waits_is_told_how_many_come_first_and_when_the_turn_comes():
    gate, told, entered = Gate(), {name: [] for name in "abc"}, []
    waits = threading.Semaphore(0)

    def come(name):
        def tell(ahead):
            told[name].append(ahead)
            waits.release()

        with gate.passing(tell=tell):
            entered.append(name)

    with gate.passing(tell=lambda ahead: pytest.fail("told without a wait")):
        threads = []
        for name in told:  # one after the other, so that their order is known
            threads.append(threading.Thread(target=come, args=name))
            threads[-1].start()
            assert waits.acquire(timeout=10)
        assert told == {"a": [1], "b": [2], "c": [3]}
    for thread in threads:
        thread.join()
    assert entered == ["a", "b", "c"]
    for name, first in zip("abc", (1, 2, 3), strict=True):
        assert (told[name][0], told[name][-1]) == (first, 0)
        assert told[name] == sorted(set(told[name]), reverse=True)  # the place only ever becomes better


def test_who_gives_up_leaves_the_place_to_those_behind():
    gate, told, gone = Gate(), [], threading.Event()
    waits = [threading.Event(), threading.Event()]

    def give_up():
        with pytest.raises(GivenUpError), gate.passing(gone.is_set, lambda _: waits[0].set()):
            pass

    def stay():
        with gate.passing(tell=lambda ahead: (told.append(ahead), waits[1].set())):
            pass

    threads = [threading.Thread(target=work) for work in (give_up, stay)]
    with gate.passing():
        for thread, wait in zip(threads, waits, strict=True):
            thread.start()
            assert wait.wait(10)
        waits[1].clear()
        gone.set()
        assert waits[1].wait(10)
        assert told == [2, 1]
    for thread in threads:
        thread.join()
    assert told == [2, 1, 0]
