"""What the status line says."""

from editor.measure.detail import crop_psnr
from editor.pipeline import Editor
from editor.session import EditSession
from editor.ui.stage import SPACE_LABELS
from stylegan2.errors import StyleGANError

VISIT_OVER = "This visit is over: the page begins anew."
MODEL_CHANGED = "The model was changed: reload the page."
STOPPED_EARLY = "Stopped before the optimisation began."
TO_BE_FITTED = "This model has no encoder: Optimise fits this face, and edits mean little before."
OVERTAKEN = "Something newer is on show by now."
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


def gains_of(editor: Editor, before: EditSession, after: EditSession) -> str:
    """What an optimisation brought, in every space."""
    gains = []
    for space in editor.spaces(before):
        drawn = (editor.reconstruct(editor.enter(each, space)) for each in (before, after))
        old, new = (crop_psnr(after.crop, pixels) for pixels in drawn)
        gains.append(f"{old:.1f} dB became {new:.1f} dB in {SPACE_LABELS[space]}")
    return ", ".join(gains)
