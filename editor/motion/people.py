"""People: who is who in a moving picture, from frame to frame and across cuts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editor.face.mesh import Face
from editor.face.tiles import Box, same_face

Likeness = NDArray[np.float64]

# Cosines of w without its mean, over 120 photos of a training shard: the same photo shifted, tilted and
# relit, or with another expression 0.87 to 0.99; turned by 8 degrees 0.78 to 0.98; of two people -0.12 to
# 0.67 (1 to 99 %).
SAME = 0.6
REMEMBERED = 8  # looks of a person, as different as they come
_NEW_LOOK = 0.85  # likeness to all remembered ones below which a look is worth remembering


class Person:
    """One of the people in a moving picture."""

    def __init__(self, number: int, looks: list[Likeness], box: Box | None) -> None:
        self.number = number  # from 1, in the order of their coming
        self.looks = looks
        self.box = box  # in the last frame; None where the person was not in it

    def likeness(self, look: Likeness) -> float:
        """Of a face to this person: the largest cosine with a remembered look."""
        return max(_cosine(look, each) for each in self.looks)

    def seen(self, look: Likeness, face: Face) -> None:
        """The person is in this frame."""
        self.box = Box(*face.box)
        if len(self.looks) < REMEMBERED and self.likeness(look) < _NEW_LOOK:
            self.looks.append(look)


class People:
    """Faces of frame after frame -> people."""

    def __init__(self) -> None:
        self.known: list[Person] = []

    @property
    def present(self) -> list[Box]:
        """Where the people of the last frame were."""
        return [each.box for each in self.known if each.box is not None]

    def near(self, face: Face) -> Person | None:
        """Who was at a face's place in the last frame."""
        box = Box(*face.box)
        there = [each for each in self.known if each.box is not None and same_face(each.box, box)]
        return min(there, key=lambda each: _distance(each.box, box), default=None)

    def recognise(self, faces: Sequence[Face], looks: Sequence[Likeness]) -> list[Person]:
        """Who the faces of a frame are; nobody twice.

        Where the likeness says so, a face is who was there in the last frame, else who it is most like of
        all who were seen before, else somebody new.

        Args:
            faces: Of this frame.
            looks: w of each without the mean of W [w_dim].
        """
        pairs = [
            (person is not self.near(face), -person.likeness(look), index, person)
            for index, (face, look) in enumerate(zip(faces, looks, strict=True))
            for person in self.known
            if person.likeness(look) >= SAME
        ]
        found: dict[int, Person] = {}
        for _, _, index, person in sorted(pairs, key=lambda pair: pair[:2]):
            if index not in found and all(person is not other for other in found.values()):
                found[index] = person
        for person in self.known:
            person.box = None
        for index, (face, look) in enumerate(zip(faces, looks, strict=True)):
            if index in found:
                found[index].seen(look, face)
            else:
                found[index] = Person(len(self.known) + 1, [look], Box(*face.box))
                self.known.append(found[index])
        return [found[index] for index in range(len(faces))]

    def remember(self) -> list[dict[str, Any]]:
        """What is known as plain values, for `recall`."""
        return [
            {
                "looks": [look.tolist() for look in each.looks],
                "box": None if each.box is None else list(each.box),
            }
            for each in self.known
        ]

    def recall(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from a state that `remember` told."""
        self.known = [
            Person(
                number,
                [np.array(look) for look in told["looks"]],
                None if told["box"] is None else Box(*told["box"]),
            )
            for number, told in enumerate(state, 1)
        ]


def _cosine(a: Likeness, b: Likeness) -> float:
    return float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)


def _distance(a: Box | None, b: Box) -> float:
    return float("inf") if a is None else float(np.hypot(*np.subtract(a.center, b.center)))
