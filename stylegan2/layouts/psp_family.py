"""Inversion networks after pSp, which keep `encoder.` and `decoder.` in one `state_dict`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import Layout, State
from stylegan2.layouts.rosinality import ROSINALITY, from_rosinality
from stylegan2.layouts.translation import Translation, unwrapped, without_prefix

ENCODER, DECODER = "encoder.", "decoder."
_INPUT = ROSINALITY.const
# Entries of other networks in the same state -> which project's file it is. The first that is found decides.
_OTHER_PARTS: Mapping[str, Layout] = {
    "hypernet.": "hyperstyle",
    "residue.": "hfgi",
    "grid_align.": "hfgi",
    "inverter.": "sfe",
    "mapper.": "styleclip-mapper",
    "encoder.styles_others.": "clcae",
    "encoder.content_layer.": "clcae",
    "encoder.module.": "style-transformer",
}
ENCODER_KINDS: Mapping[Layout, str] = {
    "psp": "pSp encoder",
    "e4e": "e4e encoder",
    "clcae": "CLCAE inversion encoder",
    "restyle": "ReStyle encoder (not run here)",
    "hyperstyle": "HyperStyle hypernetwork (not run here)",
    "hfgi": "HFGI encoder (not run here)",
    "style-transformer": "Style Transformer encoder (not run here)",
    "sfe": "SFE encoder (not run here)",
}
OURS: frozenset[Layout] = frozenset({"psp", "e4e", "clcae"})  # whose encoders run here
CARS_STYLES = 16  # of a 512 px generator; of CLCAE's two published models, the one for cars
_RESTYLE_CHANNELS = 6  # it sees the photo and its last reconstruction


def is_family(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of such a network."""
    return any(name.startswith((ENCODER, *_OTHER_PARTS)) for name in state) or (
        DECODER + _INPUT in state or f"{DECODER}module.{_INPUT}" in state
    )


def contrastive_kind(state: Mapping[str, Tensor]) -> str | None:
    """Which half of CLCAE's contrastive pair it is, in words; None where it is neither."""
    if any(name.startswith("image_projection.") for name in state):
        return "CLCAE contrastive image encoder"
    if any(name.startswith("latent_projection.") for name in state):
        return "CLCAE contrastive latent encoder"
    return None


def family_layout(state: Mapping[str, Tensor], opts: Mapping[str, Any]) -> Layout:
    """Which project's file it is.

    pSp and e4e have the same tensors up to their number: what tells them apart is how they call the
    generator's resolution, and the encoder's class.
    """
    for part, layout in _OTHER_PARTS.items():
        if any(name.startswith(part) for name in state):
            return layout
    first = state.get(f"{ENCODER}input_layer.0.weight")
    # HyperStyle's options name ReStyle's channels for its W encoder too, which is made for a photo alone.
    seen = first.shape[1] if first is not None and first.ndim == 4 else opts.get("input_nc")
    if seen == _RESTYLE_CHANNELS:
        return "restyle"
    if opts.get("encoder_type") == "GradualStyleEncoder":  # pSp's, which e4e's code trains too
        return "psp"
    e4e = "stylegan_size" in opts or str(opts.get("encoder_type")).endswith("Encoder4Editing")
    return "e4e" if e4e else "psp"


def decoder_of(state: Mapping[str, Tensor], latent_avg: Tensor | None) -> Translation | None:
    """The generator behind `decoder.`; None where there is none.

    Raises:
        CheckpointError: It is not rosinality's, or see `from_rosinality`.
    """
    decoder = unwrapped(without_prefix(state, DECODER))
    if not decoder:
        return None
    if _INPUT not in decoder:
        raise CheckpointError(f"no entry {DECODER + _INPUT!r}; its decoder is not rosinality's StyleGAN2")
    found = from_rosinality(decoder, latent_avg)
    return replace(
        found,
        missing=tuple(DECODER + name for name in found.missing),
        misfits=tuple(DECODER + name for name in found.misfits),
        left_over=tuple(DECODER + name for name in found.left_over),
    )


def encoder_of(state: Mapping[str, Tensor]) -> State:
    """The encoder's tensors by their names in the file, without `encoder.`."""
    return unwrapped(without_prefix(state, ENCODER))


def left_over_of(state: Mapping[str, Tensor], layout: Layout) -> tuple[str, ...]:
    """Entries that are neither decoder nor an encoder that has a use here."""
    used = (ENCODER, DECODER) if layout in OURS else (DECODER,)
    return tuple(name for name in state if not name.startswith(used))


def sees_cars(layout: Layout, opts: Mapping[str, Any], num_ws: int) -> bool:
    """Whether such a network was trained on cars: 4:3 in the middle of squares, black above and below.

    Args:
        layout: Of its file.
        opts: The file's settings, which mostly name the pictures.
        num_ws: Styles that it finds.
    """
    dataset = str(opts.get("dataset_type") or "")
    return "car" in dataset if dataset else layout == "clcae" and num_ws == CARS_STYLES
