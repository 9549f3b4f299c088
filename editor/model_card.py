"""ModelCard: what an editor's model is and can do, for people."""

from dataclasses import dataclass

from inversion.components import GROUP
from inversion.directions import DirectionBank
from stylegan2.bundle import ModelBundle

_SHOWN = 16  # digits of the sha256


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Name, and all of it in one line."""

    name: str
    text: str


def describe_model(
    bundle: ModelBundle, directions: DirectionBank, *, has_encoder: bool, has_features: bool
) -> ModelCard:
    """The card of a bundle as the editor uses it.

    Args:
        bundle: What was opened.
        directions: Edits on offer.
        has_encoder: Whether photos are inverted at once.
        has_features: Whether the space F is there.
    """
    inverts = "photos are fitted by optimisation, for it has no encoder"
    if has_encoder:
        inverts = "photos are inverted into W, W+ and F" if has_features else "photos are inverted into W"
    found = any(edit.group == GROUP for edit in directions.values())
    edits = f"{len(directions)} edits" + (
        ", its principal components, for none came with it" if found else ""
    )
    parts = [
        f"{bundle.name}: {bundle.resolution} px",
        inverts,
        edits,
        f"licence: {bundle.licence}",
        f"generator sha256 {bundle.generator_sha256[:_SHOWN]}…",
    ]
    return ModelCard(name=bundle.name, text=" · ".join(parts))
