"""ModelCard: what an editor's model is and can do, for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from inversion.chain.inversion import Space
from inversion.directions.bank import DirectionBank
from inversion.directions.components import GROUP
from stylegan2.bundle.folder import ModelBundle


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Name, and all of it in one line."""

    name: str
    text: str


def describe_model(
    bundle: ModelBundle, directions: DirectionBank, *, spaces: Sequence[Space], encoder: str = ""
) -> ModelCard:
    """The card of a bundle as the editor uses it.

    Args:
        bundle: What was opened.
        directions: Edits on offer.
        spaces: What photos are inverted into at once; empty without an encoder.
        encoder: Whose encoder that is, where it is another project's.
    """
    inverts = "photos are fitted by optimisation, for it has no encoder"
    if spaces:
        *others, last = (space.upper() for space in spaces)
        by = f" by the {encoder} encoder" if encoder else ""
        inverts = (
            f"photos are inverted into {' and '.join([', '.join(others), last] if others else [last])}{by}"
        )
    found = any(edit.group == GROUP for edit in directions.values())
    edits = f"{len(directions)} edits" + (
        ", its principal components, for none came with it" if found else ""
    )
    parts = [
        f"{bundle.name}: {bundle.resolution} px",
        inverts,
        edits,
        f"licence: {bundle.licence}",
        f"sha256 {bundle.source_sha256 or bundle.generator_sha256}",
    ]
    return ModelCard(name=bundle.name, text=" · ".join(parts))
