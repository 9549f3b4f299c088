"""mixed_edit: the way from any face to another one, on some of the model's layers."""

from collections.abc import Mapping

from editor.pipeline import Editor
from editor.session import EditSession
from inversion.directions.bank import longest
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection

# What layers of which resolution draw, px: first, and one past the last (Karras et al. 2019,
# arXiv:1812.04948, section 3.1). 0 is the lowest there is, None the highest.
SCALES: Mapping[str, tuple[int, int | None]] = {
    "Pose and shape": (0, 16),
    "Features": (16, 64),
    "Colours": (64, None),
    "Everything": (0, None),
}


def layers_of(editor: Editor, scale: str) -> tuple[int, int]:
    """Styles that a scale of `SCALES` moves: first, and one past the last.

    Raises:
        DirectionError: There is no such scale, or this model has no layer of it.
    """
    if scale not in SCALES:
        raise DirectionError(f"layers: {scale!r}; must be one of {', '.join(SCALES)}")
    low, high = SCALES[scale]
    # Two styles for each resolution from 4 px on: the first of 4 px has one, and the last colour another.
    ends = [0 if side <= 4 else 2 * (side.bit_length() - 3) for side in (low, high or 0)]
    first, last = ends[0], ends[1] if high else editor.generator.num_ws
    last = min(last, editor.generator.num_ws)
    if first >= last:
        raise DirectionError(f"layers: this model draws nothing of {scale!r}; it has {last} styles")
    return first, last


def mixed_edit(editor: Editor, other: EditSession, layers: tuple[int, int], label: str) -> EditDirection:
    """The edit that leads to another face, 0 nothing of it and 1 all, on styles from the first to the last.

    Args:
        editor: Of both faces' model.
        other: The other face, in its own space and without its edits.
        layers: First, and one past the last.
        label: Of the slider.

    Raises:
        DirectionError: There are no such layers.
    """
    first, last = layers
    num_ws = editor.generator.num_ws
    if not 0 <= first < last <= num_ws:
        raise DirectionError(f"layers: {first} to {last}; must lie within 0 to {num_ws}, the first below")
    styles = editor.decoder.styles(other.inversion, other.space)[0].detach().cpu().clone()
    away = (styles - editor.generator.w_avg.cpu()).mean(0)
    length = longest(away)
    return EditDirection(
        name="own-mix", label=label, group="Your own", low="this face", high="the other",
        direction=away / length, sigma=max(length, 1e-6), range=(0.0, 1.0), layers=layers, target=styles,
    )  # fmt: skip
