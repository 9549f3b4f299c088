"""Inversion: what is found of a picture."""

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

Space = Literal["w", "w+", "f"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What inversion found in the space F of N pictures."""

    ws: Tensor  # the styles that the code is added to [N, num_ws, w_dim]: in F, edits start here
    code: Tensor  # [N, code, R, R], see `FeatureRefiner`
    a: Tensor  # G_k(ws) of the unedited pictures [N, C, R, R]: the same however far the sliders move


class Foundation(Protocol):
    """What an encoder remembers of a picture so that w+ and f can follow w."""

    def follow(self, start: "Inversion", offset: Tensor) -> "Inversion":
        """Move w of `start` by `offset` [1, w_dim], and ws and f as the encoder then finds them."""


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents of N pictures; without refiners `ws` is `w` for every layer and `f` is None.

    The app, the optimisation and what follows `foundation` know one picture.
    """

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim]
    plain_ws: Tensor | None = None  # `ws` before its colours were fitted; None where none were
    f: Feature | None = None
    # G(ws, f) [N, R, R, 3] uint8, unedited; None where it was not drawn on the way.
    drawn: Tensor | None = None
    steps: int = 0  # of optimisation, in all spaces together; 0 is the encoder's answer
    stopped: bool = False  # whether the optimisation was cancelled
    foundation: Foundation | None = None  # None: edits move ws alone
    # Whether `w` was found by itself; else it is the mean of `ws`, a start to optimise from.
    has_w: bool = True
