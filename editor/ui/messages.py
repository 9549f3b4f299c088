"""What the status line says."""

from editor.measure.detail import crop_psnr
from editor.photo_session import PhotoSession
from editor.pipeline import Editor
from editor.session import EditSession
from editor.ui.stage import SPACE_LABELS
from stylegan2.errors import StyleGANError

VISIT_OVER = "This visit is over: the page begins anew."
MODEL_CHANGED = "The model was changed: reload the page."
STOPPED_EARLY = "Stopped before the optimisation began."
TO_BE_FITTED = "This model has no encoder: Optimise fits this face, and edits mean little before."
OVERTAKEN = "Something newer is on show by now."
NO_PHOTO = "There is no photo to put a box on: open one."
NO_FACE_YET = "There is no face yet: upload a photo or choose an example."


class NothingEditedError(StyleGANError):
    """There is no picture that could become a new base, or there were too many."""


def before_you(ahead: int) -> str:
    """What somebody is told who waits behind so many others; 0 ends the wait."""
    return f"Waiting: {ahead} before you ..." if ahead else "It is your turn ..."


class OvertakenError(StyleGANError):
    """A question was about a state that the visit has left: its answer would be about another one."""


class VisitOverError(StyleGANError):
    """The page's visit is not known any more: it grew old, or the server was started again."""


def problem(error: StyleGANError) -> str:
    """A refusal, as the status line says it."""
    return f"⚠ {str(error).rstrip('.')}. The last good result stays."


def thing_of(editor: Editor, opened: PhotoSession | None = None) -> str:
    """What is edited, in a word."""
    boxed = opened is not None and opened.photo is not None and opened.photo.box is not None
    return "picture" if boxed or editor.content is not None else "face"


def opening_words(editor: Editor, opened: PhotoSession) -> str:
    """What is said of a photo that was opened."""
    photo, session = opened.photo, opened.session
    if photo is not None and photo.box is not None:
        done = "Drag the box around what is to be edited, then press “Edit this”."
        if editor.content is None:
            done = "No face was found. Drag a box around what is to be edited."
        if editor.awaits_fit(session):
            done += " This model has no encoder: Optimise then fits it."
    elif editor.awaits_fit(session):
        done = "Found and cropped the face. This model has no encoder: its latents are searched for."
    else:
        done = "Found, cropped and inverted the face."
        if photo is not None and len(photo.faces) > 1:
            done += " Click another's box to edit that."
    return " ".join([done, *session.notes])


def gains_of(editor: Editor, before: EditSession, after: EditSession) -> str:
    """What an optimisation brought, in every space."""
    gains = []
    for space in editor.spaces(before):
        drawn = (editor.reconstruct(editor.enter(each, space)) for each in (before, after))
        cut = after.content.cut
        old, new = (crop_psnr(cut(after.crop), cut(pixels)) for pixels in drawn)
        gains.append(f"{old:.1f} dB became {new:.1f} dB in {SPACE_LABELS[space]}")
    return ", ".join(gains)
