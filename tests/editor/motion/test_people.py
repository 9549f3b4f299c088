import json

import numpy as np
import pytest

from editor.face.mesh import Face
from editor.motion.people import REMEMBERED, People


def look(*along):
    return np.array(along, np.float64)


ANNA, BELA, CARO = look(1, 0, 0), look(0, 1, 0), look(0, 0, 1)


def face(x, size=100.0):
    box = (x, 0.0, x + size, size)
    return Face(points=np.zeros((478, 2), np.float32), box=box, size=size)


def numbers(people, faces, looks):
    return [person.number for person in people.recognise(faces, looks)]


def test_people_are_numbered_as_they_come():
    people = People()
    assert numbers(people, [face(0), face(300)], [ANNA, BELA]) == [1, 2]
    assert numbers(people, [face(600), face(300), face(0)], [CARO, BELA, ANNA]) == [3, 2, 1]


def test_a_cut_to_another_person_at_the_same_place_is_another_person():
    people = People()
    numbers(people, [face(0)], [ANNA])
    assert numbers(people, [face(0)], [BELA]) == [2]
    assert numbers(people, [face(500)], [ANNA]) == [1]  # and back, elsewhere


def test_who_changes_slowly_stays_who_it_is():
    people = People()
    for angle in np.linspace(0, np.pi / 2, 12):  # from Anna's look to Bela's
        assert numbers(people, [face(0)], [look(np.cos(angle), np.sin(angle), 0)]) == [1]
    numbers(people, [], [])
    assert numbers(people, [face(400)], [ANNA]) == [1]  # the earlier looks are remembered
    assert numbers(people, [face(400)], [BELA]) == [1]


def test_nobody_is_twice_in_a_frame():
    people = People()
    numbers(people, [face(0)], [ANNA])
    assert numbers(people, [face(0), face(300)], [ANNA, ANNA]) == [1, 2]  # a twin, or a mirror


def test_of_two_alike_the_one_at_the_place_stays():
    people = People()
    numbers(people, [face(0), face(300)], [look(1, 0.1, 0), look(1, 0, 0.1)])
    assert numbers(people, [face(300), face(0)], [look(1, 0.1, 0), look(1, 0, 0.1)]) == [2, 1]


def test_looks_are_bounded():
    people = People()
    rng = np.random.default_rng(0)
    for _ in range(60):
        numbers(people, [face(0)], [look(1, 0, 0) * 1.2 + rng.normal(size=3) * 0.4])
    assert all(len(person.looks) <= REMEMBERED for person in people.known)


def test_a_remembered_state_goes_on():
    people, again = People(), People()
    numbers(people, [face(0), face(300)], [ANNA, BELA])
    numbers(people, [face(300)], [BELA])
    again.recall(json.loads(json.dumps(people.remember())))
    assert again.near(face(310)).number == 2
    assert again.near(face(0)) is None  # Anna has left
    assert numbers(again, [face(0)], [ANNA]) == [1]


@pytest.mark.parametrize("count", [0, 1])
def test_present_are_those_of_the_last_frame(count):
    people = People()
    numbers(people, [face(0), face(300)], [ANNA, BELA])
    numbers(people, [face(0)][:count], [ANNA][:count])
    assert len(people.present) == count
