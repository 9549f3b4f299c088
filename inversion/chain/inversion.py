"""Inversion: what is found of one picture."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inversion.chain.feature_renderer import Feature


class Foundation(Protocol):
    """What an encoder remembers of a picture so that w+ and f can follow w."""

    def follow(self, start: "Inversion", offset: Tensor) -> "Inversion":
        """Move w of `start` by `offset` [1, w_dim], and ws and f as the encoder then finds them."""


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents of one picture; without refiners `ws` is `w` for every layer and `f` is None."""

    w: Tensor  # [1, w_dim]
    ws: Tensor  # [1, num_ws, w_dim]
    plain_ws: Tensor | None = None  # `ws` before its colours were fitted; None where none were
    f: Feature | None = None
    steps: int = 0  # of optimisation, in all spaces together; 0 is the encoder's answer
    stopped: bool = False  # whether the optimisation was cancelled
    foundation: Foundation | None = None  # None: edits move ws alone
    has_w: bool = True  # whether `w` was found by itself; else it is the mean of `ws`, a start for refining
