"""What programs may ask for: edits of photos, their faces, and what is measured of them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from editor.errors import BatchError
from editor.face.photo import FacePhoto, describe_face
from editor.measure.attribute_network import AttributeNetwork, load_attributes
from editor.measure.attributes import measure
from editor.measure.detail import crop_psnr
from editor.photo.export import encode_png
from editor.photo_editing import crop_of, encode
from editor.photo_session import VIEW_PIXELS, PhotoSession
from editor.pipeline import OPTIMISATION_STEPS, Editor
from editor.session import EditSession
from editor.ui.serving.asked import (
    MAX_PHOTO,
    MOST_PHOTOS,
    check_batch,
    check_box,
    check_face,
    check_faces,
    check_space,
    check_steps,
    decode_photo,
)
from editor.ui.serving.gate import BusyError, Gate
from editor.ui.stage import data_uri
from inversion.optimise.inversion import MAX_STEPS
from stylegan2.errors import StyleGANError

MAX_ANSWER = 4 * MAX_PHOTO  # characters of the pictures that a batch answers with


@dataclass(frozen=True)
class Endpoint:
    """One thing that programs may ask for, by whatever door they come."""

    name: str
    about: str
    call: Callable[..., dict[str, Any]]
    words: tuple[str, ...]  # what each argument is

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(inspect.signature(self.call).parameters)

    @property
    def needed(self) -> int:
        """How many of them have no default; these come first."""
        parameters = inspect.signature(self.call).parameters.values()
        return sum(each.default is inspect.Parameter.empty for each in parameters)

    def answer(self, data: Sequence[Any]) -> dict[str, Any]:
        """Call with values in order; those that are missing or None take their default.

        Raises:
            StyleGANError: As the call; also where one is missing that has no default.
        """
        given = {name: value for name, value in zip(self.arguments, data, strict=False) if value is not None}
        return self.call(**{**dict.fromkeys(self.arguments[: self.needed]), **given})


class ProgramAPI:
    """`POST /gradio_api/run/NAME`, and the same names for Gradio's clients: see `endpoints`.

    Nothing is remembered, and nothing touches the disk.

    Args:
        editor: Answers with the one in use.
        light: Where inversions and drawings take their turn.
        long: Where optimisations do.
    """

    def __init__(self, editor: Callable[[], Editor], light: Gate, long: Gate) -> None:
        self._editor, self._light, self._long = editor, light, long

    def edit(
        self,
        photo: str,
        strengths: dict[str, Any],
        space: str | None = None,
        steps: int = 0,
        face: int | None = None,
        box: list[Any] | None = None,
    ) -> dict[str, Any]:
        """Edit faces of a photo.

        Args:
            photo: The bytes of an image file as base64, with or without `data:image/...;base64,` before it.
            strengths: Name of a direction -> strength in its unit, of `face`; or number of a face -> such a
                mapping, of several.
            space: "w", "w+" or "f"; None for the most faithful that the model has.
            steps: Of optimisation in each space; 0 takes the encoder's answer.
            face: Number of the face, from 1, the largest first; None for the largest that can be used, or
                the first that is named.
            box: [left, top, width] of a part of the photo in whole px, which is edited without looking for a
                face; None for faces, or of a model that draws none for the largest box in the middle.

        Returns:
            "photo", the whole photo with the edits at its own size, as a file of its own kind; "edited" and
            "reconstruction" of `face`, cut out, PNG files; all as data: addresses. "faces": number and box of
            every face, see `describe_face`.

        Raises:
            StyleGANError: Any of them is not as above, or there is no face.
        """
        editor = self._editor()
        data, by_face = decode_photo(photo), check_faces(editor, strengths, face)
        steps, number, drawn = check_steps(steps), check_face(face), check_box(box)
        with self._light.passing():
            found = editor.open_photo(data, box=drawn)
            wanted = {found.first if key is None else key: edits for key, edits in by_face.items()}
            sessions = {key: editor.invert(found, key) for key in wanted}
            for key, session in sessions.items():
                entered = editor.enter(session, check_space(space)) if space else session
                sessions[key] = editor.edit(entered, wanted[key])
        for key, session in sessions.items():
            sessions[key] = self._fitted(editor, session, steps)
        with self._light.passing():
            chosen = next(iter(sessions)) if number is None else number
            opened = PhotoSession(photo=found, sessions=sessions, chosen=chosen)
            whole, kind = encode(editor, opened)
            session = opened.session
            reconstruction = session.content.cut(editor.reconstruct(session))
            crop = encode_png(crop_of(editor, found, session), session.strengths)
            return {
                "photo": data_uri(whole, kind),
                "edited": data_uri(crop, "png"),
                "reconstruction": data_uri(encode_png(reconstruction, {}), "png"),
                "faces": [describe_face(each) for each in found.faces],
            }

    def faces(self, photo: str) -> dict[str, Any]:
        """Find every face of a photo.

        Args:
            photo: As of `edit`.

        Returns:
            "faces": of each, the largest first, what `describe_face` tells, also where it cannot be used.

        Raises:
            StyleGANError: The photo is not as above, or shows no face.
        """
        editor, data = self._editor(), decode_photo(photo)
        with self._light.passing():
            return {"faces": [describe_face(face) for face in editor.find_faces(data)]}

    def metrics(self, photo: str, face: int | None = None, space: str | None = None) -> dict[str, Any]:
        """Measure a face, and how well the model draws it without edits.

        Args:
            photo: As of `edit`.
            face: As of `edit`.
            space: The only one to be measured; None for every one that the model has.

        Returns:
            "face", its number; "psnr", of the reconstruction against the crop, dB by space; "identity", the
            likeness of both, -1 to 1 by space, None where no identity network was named; "fit", "share" 0 to
            1 and "reason" of `Fit`, None where the model cannot tell; "attributes" of the crop, see
            `measure`, None where the crop shows no clear face.

        Raises:
            StyleGANError: Any of them is not as above, or there is no such face.
        """
        editor, data, number = self._editor(), decode_photo(photo), check_face(face)
        with self._light.passing():
            found: FacePhoto = editor.open_photo(data, most_pixels=VIEW_PIXELS)
            session = editor.invert(found, found.first if number is None else number)
            if space:
                session = editor.enter(session, check_space(space))
        session = self._fitted(editor, session, 0)
        with self._light.passing():
            spaces = [session.space] if space else editor.spaces(session)
            drawn = {each: editor.reconstruct(editor.enter(session, each)) for each in spaces}
            alike = {each: editor.likeness(session, pixels) for each, pixels in drawn.items()}
            cut = session.content.cut
            fit, told = editor.fit(session), measure(editor.detector, self._attributes, session.crop)
            return {
                "face": session.face,
                "psnr": {
                    each: round(crop_psnr(cut(session.crop), cut(pixels)), 2)
                    for each, pixels in drawn.items()
                },
                "identity": None
                if editor.identity is None
                else {each: round(value, 4) for each, value in alike.items() if value is not None},
                "fit": None if fit is None else {"share": round(fit.share, 4), "reason": fit.reason},
                "attributes": None
                if told is None
                else {name: round(value, 4) for name, value in told.items()},
            }

    def batch(
        self,
        photos: list[str],
        strengths: dict[str, Any] | list[dict[str, Any]],
        space: str | None = None,
        steps: int = 0,
    ) -> dict[str, Any]:
        """Edit several photos, one after the other; others get their turn in between.

        Args:
            photos: Each as of `edit`.
            strengths: As of `edit`, for all photos; or a list with those of each.
            space: As of `edit`.
            steps: As of `edit`.

        Returns:
            "photos": in order, of each what `edit` answers, or {"error": one sentence} where it cannot be
            edited.

        Raises:
            StyleGANError: What is for all photos is not as above; or the server is busy from the start.
        """
        items = check_batch(self._editor(), photos, strengths)
        steps = check_steps(steps)
        space = check_space(space) if space else None
        answers: list[dict[str, Any]] = []
        length = 0
        for photo, wanted in items:
            try:
                if length > MAX_ANSWER:
                    raise BatchError("photo: the answer is full already; send it in another batch")
                answers.append(self.edit(photo, wanted, space, steps))
            except StyleGANError as error:
                if isinstance(error, BusyError) and not answers:
                    raise
                answers.append({"error": spoken(error)})
            length += sum(len(value) for value in answers[-1].values() if isinstance(value, str))
        return {"photos": answers}

    def endpoints(self) -> list[Endpoint]:
        """All that programs may ask for, told with what each argument is."""
        edits = self._editor().directions.values()
        ranges = [f"{edit.name} {edit.range[0]:g} to {edit.range[1]:g} {edit.unit}".strip() for edit in edits]
        photo = (
            "the bytes of an image file as base64, with or without data:image/...;base64, before it; "
            f"at most {MAX_PHOTO // 10**6} MB"
        )
        strengths = (
            "name of an edit -> strength, in standard deviations where no unit is told: "
            f"{', '.join(ranges) or 'none'}; or number of a face -> such a mapping"
        )
        space = "where to edit: w, w+ or f; null for the most faithful that the model has"
        steps = f"steps of optimisation in each space, 0 to {MAX_STEPS}; 0 takes the encoder's answer"
        face = "number of the face, from 1, the largest first; null for the largest that can be used"
        box = "left, top and width in px of a part to edit without looking for a face; null for faces"
        photos = f"a list of 1 to {MOST_PHOTOS} photos, each as base64, together at most "
        return [
            Endpoint(
                "edit",
                "Edit faces of a photo; pictures come back as data: addresses.",
                self.edit,
                (photo, strengths, space, steps, face, box),
            ),
            Endpoint("faces", "Find every face of a photo.", self.faces, (photo,)),
            Endpoint(
                "metrics",
                "Measure a face of a photo, and how well the model draws it without edits.",
                self.metrics,
                (photo, face, "what to measure: w, w+ or f; null for all that the model has"),
            ),
            Endpoint(
                "batch",
                "Edit several photos; one that cannot be edited answers with its error, and ends nothing.",
                self.batch,
                (
                    f"{photos}{MAX_PHOTO // 10**6} MB",
                    f"for all photos, or a list with one for each: {strengths}",
                    space,
                    steps,
                ),
            ),
        ]

    @cached_property
    def _attributes(self) -> AttributeNetwork:
        return load_attributes()  # a megabyte, read in a tenth of a second by the first who asks

    def _fitted(self, editor: Editor, session: EditSession, steps: int) -> EditSession:
        """A session after so many steps; without an encoder, after those that it takes at least."""
        if not steps and not editor.awaits_fit(session):
            return session
        with self._long.passing():
            return editor.optimise(session, steps or OPTIMISATION_STEPS)


def spoken(error: StyleGANError) -> str:
    """An error as one line."""
    return " ".join(str(error).split())
