"""Painter: a session's edit, painted onto its photo."""

from collections.abc import Mapping

import torch
from torch import Tensor

from editor.face.crop import points_in_crop
from editor.face.photo import FacePhoto, PhotoFace
from editor.photo.colour import Pixels
from editor.session import EditSession
from editor.transfer.fields import EditFields
from editor.transfer.ground import Ground, ground_of_box, ground_of_photo
from editor.transfer.paint import Patch, paint, paint_crop
from editor.transfer.photo_transfer import FindHead, PhotoTransfer
from inversion.chain.decoder import Decoder, Edit
from inversion.chain.inversion import Inversion
from inversion.directions.bank import DirectionBank


class Painter:
    """Session -> what the edit does to the photo.

    Args:
        decoder: Draws latents.
        directions: Edits.
        transfer: Decides what the photo keeps.
    """

    def __init__(self, decoder: Decoder, directions: DirectionBank, transfer: PhotoTransfer) -> None:
        self._decoder, self._directions, self.transfer = decoder, directions, transfer

    def ground(self, photo: FacePhoto, face: PhotoFace, crop: Pixels) -> Ground:
        """What edits of a face start from.

        Args:
            photo: The face's photo.
            face: Which.
            crop: The face's crop at the parser's size.

        Raises:
            FaceError: The face cannot be used.
        """
        if face.content is not None:
            return ground_of_box(crop, face.content)
        own, *others = (points_in_crop(each, face.to_photo) for each in (face.face, *photo.others(face)))
        return ground_of_photo(crop, self.transfer.parser, own, others)

    def fields(self, session: EditSession, find_head: FindHead | None = None) -> EditFields | None:
        """The session's edit as it is painted; None where there is none, so that the photo stays.

        Args:
            session: Of the face.
            find_head: See `PhotoTransfer.fields`.
        """
        if not session.edited:
            return None
        before = session.inversion
        after, edit = edited_latents(self._directions, self._decoder, session, session.strengths)
        # Another engine rounds otherwise: both pictures have to come from the same.
        key = (session.space, *self._decoder.drawn_by(before, session.space))
        drawn = session.ground.drawn.get(key, lambda: self._decoder.draw_ways(before, session.space).numpy())

        def draw_edited() -> Pixels:
            return self._decoder.draw_ways(after, session.space, edit).numpy()

        memo = session.ground.edited
        asked = (*key, tuple(sorted(session.strengths.items())))
        edited = draw_edited() if memo is None else memo.get(asked, draw_edited)
        return self.transfer.fields(
            session.ground, torch.from_numpy(drawn), torch.from_numpy(edited), find_head
        )

    def on_crop(self, session: EditSession, crop: Pixels) -> Pixels:
        """A crop [S, S, 3] of the session's face, edited."""
        fields = self.fields(session)
        return crop.copy() if fields is None else session.content.on_black(paint_crop(crop, fields))

    def on_photo(self, photo: FacePhoto, session: EditSession, onto: Pixels | None = None) -> Patch | None:
        """The part of the photo that the session's edit changes; see `paint`.

        Raises:
            FaceError: The session's face is not in the photo.
        """
        face, fields = photo.face(session.face), self.fields(session)
        if fields is None:
            return None
        return paint(photo.pixels, photo.to_pixels(face), fields, onto=onto)


def edited_latents(
    directions: DirectionBank, decoder: Decoder, session: EditSession, strengths: Mapping[str, float]
) -> tuple[Inversion, Edit]:
    """The latents that are drawn under edits, and what moves their styles."""
    directions = directions.joined(session.own)
    if not session.invented:
        directions = directions.on_photos(session.space)
    found, space = session.inversion, session.space
    unedited = decoder.styles(found, space)
    if found.foundation is not None:
        offset, strengths = directions.split(strengths, unedited.shape[1])
        found = found if offset is None else found.foundation.follow(found, offset)

    def edit(ws: Tensor) -> Tensor:
        return directions.apply(ws, strengths, measured=unedited)

    return found, edit
