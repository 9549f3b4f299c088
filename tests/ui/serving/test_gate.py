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
