"""Sizes of the published networks, and how a file's tensors tell them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from torch import Tensor

from stylegan2.errors import CheckpointError
from stylegan2.layouts.found import Found
from stylegan2.layouts.psp_family import sees_cars

Kind = Literal["clcae", "psp", "e4e", "single-w"]
NAMES: Mapping[Kind, str] = {"clcae": "CLCAE", "psp": "pSp", "e4e": "e4e", "single-w": "single-W"}

UNITS = (3, 4, 14, 3)  # residual units of each stage of IR-SE50 (arXiv:1801.07698)
LAST_UNITS = tuple(sum(UNITS[: stage + 1]) - 1 for stage in range(4))  # numbers in `body`
COARSE_STYLES, MIDDLE_STYLES = 3, 7  # pSp's borders between the pyramid's levels (arXiv:2008.00951)
F_RESOLUTION = 16  # CLCAE's f replaces the activation after the second convolution at 16 x 16
FACES_SIZE, CARS_SIZE = (256, 256), (192, 256)  # height and width that the encoders see
_MOST_STYLES = 18
_ALWAYS_ADDS = "WEncoder"  # HyperStyle's, which never asks `start_from_latent_avg`
_INTO_W_PLUS = "output_layer_2."  # of pSp's `BackboneEncoderUsingLastLayerIntoWPlus`, which nobody published


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """Architecture of one published network; the defaults are the published widths."""

    kind: Kind
    num_ws: int
    in_size: tuple[int, int] = FACES_SIZE  # height, width in pixels
    channels: tuple[int, int, int, int, int] = (64, 64, 128, 256, 512)  # stem and the four stages
    heads: int = 4
    hidden: int = 1024  # units of the attention blocks' perceptrons
    adds_mean: bool = True  # whether w_avg is added to what the encoder finds

    @property
    def width(self) -> int:
        """Of a style, of the pyramid's levels and of f."""
        return self.channels[-1]

    @property
    def cars(self) -> bool:
        """Whether pictures are cut to 4:3 before they are looked at."""
        return self.in_size == CARS_SIZE

    @property
    def finds_w(self) -> bool:
        """Whether the encoder finds one style for all layers, besides those of the layers."""
        return self.kind in ("clcae", "single-w")

    @property
    def f_resolution(self) -> int:
        """Side of f."""
        return F_RESOLUTION

    @property
    def f_channels(self) -> int:
        """Channels of f."""
        return self.width

    @property
    def code(self) -> int:
        """Channels of what is kept of a picture in F: f itself."""
        return self.width


def config_of(found: Found, num_ws: int) -> PublishedConfig:
    """The architecture that a file's encoder must be of: its kind, and sizes by the entries that tell them.

    Whatever the widths, the structure is the published one, so that an entry that lacks is missing and not
    taken for another architecture.

    Args:
        found: The file.
        num_ws: Of its generator. An encoder of one style for all of them does not tell.

    Raises:
        CheckpointError: No encoder in the file, or one of another kind.
    """
    if found.layout not in get_args(Kind) or not found.encoder:
        raise CheckpointError(
            f"{found.path}: no encoder that runs here; it holds {found.encoder_kind or 'none'}, "
            f"expected one of {', '.join(NAMES.values())}"
        )
    kind: Kind = "single-w" if _finds_one_style(found.encoder) else cast("Kind", found.layout)
    if kind != "single-w":
        num_ws = _count_styles(kind, found.encoder)
    cars = sees_cars(found.layout, found.opts, num_ws)
    default = PublishedConfig(kind=kind, num_ws=num_ws)
    hidden = _length(found.encoder, "cross_attention.0.linear1.bias")
    return PublishedConfig(
        kind=kind,
        num_ws=num_ws,
        in_size=CARS_SIZE if cars else FACES_SIZE,
        channels=channels_of(found.encoder) or default.channels,
        hidden=hidden or default.hidden,
        adds_mean=kind == "clcae"
        or found.opts.get("encoder_type") == _ALWAYS_ADDS
        or found.opts.get("start_from_latent_avg") is not False,
    )


def channels_of(state: Mapping[str, Tensor], prefix: str = "") -> tuple[int, int, int, int, int] | None:
    """Widths of stem and stages, by a vector in each; None where one of these is not there."""
    names = ["input_layer.1.weight", *(f"body.{unit}.res_layer.4.weight" for unit in LAST_UNITS)]
    stem, *stages = (_length(state, prefix + name) for name in names)
    if not stem or not all(stages):
        return None
    first, second, third, fourth = stages
    return stem, first, second, third, fourth


def _length(state: Mapping[str, Tensor], name: str) -> int:
    value = state.get(name)
    return value.shape[0] if value is not None and value.ndim == 1 else 0


def _finds_one_style(names: Iterable[str]) -> bool:
    names = list(names)
    if any(name.startswith(_INTO_W_PLUS) for name in names):
        raise CheckpointError(
            "pSp's encoder BackboneEncoderUsingLastLayerIntoWPlus, which does not run here. "
            "`python -m stylegan2 convert --generator-only` makes a model of the generator alone"
        )
    heads = any(name.startswith(("styles.", "styles_others.")) for name in names)
    return "linear.weight" in names and not heads


def _count_styles(kind: Kind, names: Iterable[str]) -> int:
    pattern = r"(cross_attention|styles_others)\.(\d{1,3})\." if kind == "clcae" else r"(styles)\.(\d{1,3})\."
    # The heads of CLCAE's `styles_others` begin with the second style.
    found = [int(m[2]) + 1 + (m[1] == "styles_others") for name in names if (m := re.match(pattern, name))]
    count = max(found, default=0)
    if not MIDDLE_STYLES < count <= _MOST_STYLES:
        raise CheckpointError(
            f"an encoder of {count} styles; expected {MIDDLE_STYLES + 1} to {_MOST_STYLES}. "
            "`python -m stylegan2 convert --generator-only` makes a model of the generator alone"
        )
    return count
