"""MovingEdit: the frames of a film, one after the other, edited."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from editor.face.choice import MAX_YAW
from editor.face.mesh import Face
from editor.face.tiles import Box, same_face
from editor.motion.moving_face import MovingFace, Seen, look
from editor.motion.people import People, Person
from editor.motion.placing import square_of
from editor.photo.colour import Pixels
from editor.pipeline import Editor
from editor.transfer.paint import Patch, paint
from inversion.chain.inversion import Space
from stylegan2.errors import ConfigError

MOST_FACES = 8  # of a frame that are looked at, the largest first
SEARCH = 1.0  # seconds without a face after which small ones are searched for, at most so often


class MovingEdit:
    """Edits the person who was seen first, or everybody, wherever they are in the frame.

    Args:
        editor: Does the work.
        strengths: Direction -> strength, in its unit.
        every_face: Edit everybody; False: the largest face of the first frame that shows one, and that
            person's face from then on.
        space: Where to edit; W is steadiest in time.

    Raises:
        ConfigError: As `check_moving`.
        DirectionError: An unknown edit.
        StrengthError: A strength beyond its range.
    """

    def __init__(
        self, editor: Editor, strengths: Mapping[str, float], *, every_face: bool = False, space: Space = "w"
    ) -> None:
        check_moving(editor)
        self._editor, self._every, self._space = editor, every_face, space
        self._strengths = editor.directions.check(strengths)
        self._mean = editor.generator.w_avg.detach().cpu().numpy().astype(np.float64)
        self._people = People()
        self._faces: dict[int, MovingFace] = {}  # by the person's number
        self._searched = -SEARCH

    def patches(self, pixels: Pixels, seconds: float) -> list[Patch]:
        """What the edits change of a frame, to be put onto it in this order.

        Args:
            pixels: The frame [H, W, 3] uint8 RGB, upright; not changed.
            seconds: Its time; frames come in order.
        """
        if not any(self._strengths.values()):
            return []
        faces = self._find(pixels, seconds)
        near = [self._people.near(face) for face in faces]
        seen = [self._look(pixels, face, who, seconds) for face, who in zip(faces, near, strict=True)]
        looks = [each.inversion.w[0].numpy().astype(np.float64) - self._mean for each in seen]
        people = self._people.recognise(faces, looks)
        patches: list[Patch] = []
        onto = pixels
        for index, person in enumerate(people):
            if not self._edits(person):
                continue
            if person is not near[index]:  # who was here is gone, and this one has come from elsewhere
                self._moving(person).forget()
                seen[index] = self._look(pixels, faces[index], person, seconds)
            others = [face for face in faces if face is not faces[index]]
            fields = self._moving(person).fields(seen[index], others, self._strengths, seconds)
            patch = None if fields is None else paint(pixels, seen[index].to_frame, fields, onto=onto)
            if patch is not None:
                patches.append(patch)
                onto = onto.copy()
                patch.put(onto)
        for who in near:
            if who is not None and who.box is None and self._edits(who):
                self._moving(who).forget()
        return patches

    def remember(self) -> dict[str, Any]:
        """What it knows after a frame as plain values, for `recall`."""
        return {
            "people": self._people.remember(),
            "faces": {str(number): face.remember() for number, face in self._faces.items()},
            "searched": self._searched,
        }

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `remember` told."""
        self._people.recall(state["people"])
        self._faces = {}
        for number, told in state["faces"].items():
            self._faces[int(number)] = face = MovingFace(self._editor, self._space)
            face.recall(told)
        self._searched = float(state["searched"])

    def _edits(self, person: Person) -> bool:
        return self._every or person.number == 1

    def _moving(self, person: Person) -> MovingFace:
        if person.number not in self._faces:
            self._faces[person.number] = MovingFace(self._editor, self._space)
        return self._faces[person.number]

    def _look(self, pixels: Pixels, face: Face, who: Person | None, seconds: float) -> Seen:
        """A face as who it is taken for; as it lies there where that is nobody who is edited."""
        if who is None or not self._edits(who):
            return look(self._editor, pixels, face, square_of(face, self._editor.crop_config), "w")
        return look(self._editor, pixels, face, self._moving(who).placing(face, seconds), self._space)

    def _find(self, pixels: Pixels, seconds: float) -> list[Face]:
        """Faces that can be edited, the largest first; small ones are searched for now and then."""
        detector = self._editor.detector
        faces = detector.detect(pixels, small_faces=False)
        if not faces and not self._people.present and seconds - self._searched >= SEARCH:
            self._searched = seconds
            faces = detector.detect(pixels)
        # A small face that was found so is followed; without a search it would be lost at once.
        lost = [each for each in self._people.present if not any(same_face(each, Box(*f.box)) for f in faces)]
        faces = faces + detector.detect_near(pixels, lost) if lost else faces
        usable = [face for face in faces if abs(face.yaw) < MAX_YAW]
        return sorted(usable, key=lambda face: -face.size)[:MOST_FACES]


def check_moving(editor: Editor) -> None:
    """Refuse a model that moving pictures mean nothing to, or that cannot keep up with them.

    Raises:
        ConfigError: It draws no faces, or has no encoder.
    """
    if editor.content is not None:
        raise ConfigError("model: it draws no faces, and moving pictures are edited by the faces in them")
    if not editor.has_encoder:
        raise ConfigError("model: it has no encoder, and moving pictures cannot wait for optimisation")
