"""Inversion: what is found of one picture."""

from dataclasses import dataclass

from torch import Tensor

from inversion.feature_renderer import Feature


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents of one picture; without refiners `ws` is `w` for every layer and `f` is None."""

    w: Tensor  # [1, w_dim]
    ws: Tensor  # [1, num_ws, w_dim]
    plain_ws: Tensor | None = None  # `ws` before its colours were fitted; None where none were
    f: Feature | None = None
    steps: int = 0  # of optimisation, in all spaces together; 0 is the encoder's answer
    stopped: bool = False  # whether the optimisation was cancelled
    has_w: bool = True  # whether `w` was found by itself; else it is the mean of `ws`, a start for refining
