"""The generator with features: edited styles and a code to a picture, and how a model uses the space F."""

from typing import Protocol

from torch import Tensor, nn

from stylegan2.network.folded import FoldedSynthesis


class Carrier(Protocol):
    """A module that knows what of a picture's code belongs into f after an edit."""

    @property
    def colours_from_f(self) -> bool:
        """Whether f's own block draws its colours from f too, and not from the activation it replaces."""

    def __call__(self, code: Tensor, a: Tensor) -> Tensor:
        """See `FeatureCarrier.forward`."""

    def carry(self, code: Tensor, a: Tensor, a_hat: Tensor) -> Tensor:
        """See `FeatureCarrier.carry`."""


class FeatureShapes(Protocol):
    """Where f enters the generator, and how much is known of it."""

    @property
    def f_resolution(self) -> int:
        """Side of code and activation."""

    @property
    def f_channels(self) -> int:
        """Channels of the activation."""

    @property
    def code(self) -> int:
        """Channels of the code."""


class FeatureSpace(Protocol):
    """How a model uses the space F: `Refiners`, or a published model."""

    @property
    def config(self) -> FeatureShapes:
        """Its sizes."""

    @property
    def carrier(self) -> Carrier:
        """Code and activations -> f_hat."""


class Activation(nn.Module):
    """ws [N, num_ws, w_dim] -> the generator's activation at `resolution`."""

    def __init__(self, synthesis: FoldedSynthesis, resolution: int) -> None:
        super().__init__()
        self.synthesis, self.resolution = synthesis, resolution

    def forward(self, ws: Tensor) -> Tensor:
        """See the class."""
        return self.synthesis.lower(ws, self.resolution)[0]

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"resolution={self.resolution}"


class Sketch(nn.Module):
    """w [N, w_dim] -> the activation of G(w) at `resolution`, and what the blocks below have drawn."""

    def __init__(self, synthesis: FoldedSynthesis, resolution: int, num_ws: int) -> None:
        super().__init__()
        self.synthesis, self.resolution, self.num_ws = synthesis, resolution, num_ws

    def forward(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        a, below = self.synthesis.lower(w[:, None].expand(-1, self.num_ws, -1), self.resolution)
        assert below is not None  # noqa: S101  (narrows the type for mypy: a look is above the first block)
        return a, below

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"resolution={self.resolution}"


class FeatureSynthesis(nn.Module):
    """Edited styles [N, num_ws, w_dim], the code, and `a` of the unedited styles -> img [N, 3, R, R]."""

    def __init__(self, synthesis: FoldedSynthesis, space: FeatureSpace) -> None:
        super().__init__()
        self.synthesis, self.carrier, self.resolution = synthesis, space.carrier, space.config.f_resolution

    def forward(self, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """See the class; in [-1, 1]."""
        a_hat, below = self.lower(ws_hat)
        return self.upper(a_hat, below, ws_hat, code, a).clamp(-1, 1)

    def lower(self, ws: Tensor) -> tuple[Tensor, Tensor | None]:
        """The part of `forward` that knows no code, see `SynthesisNetwork.lower`."""
        return self.synthesis.lower(ws, self.resolution)

    def upper(self, a_hat: Tensor, below: Tensor | None, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """The rest of `forward`, after `lower` has answered `a_hat` and `below`; not clamped."""
        return self._drawn(self.carrier.carry(code, a, a_hat), a_hat, below, ws_hat)

    def unedited(self, below: Tensor | None, ws: Tensor, code: Tensor, a: Tensor) -> Tensor:
        """`upper` without an edit, sooner: nothing has to be carried anywhere."""
        return self._drawn(self.carrier(code, a), a, below, ws)

    def _drawn(self, f: Tensor, a: Tensor, below: Tensor | None, ws: Tensor) -> Tensor:
        return self.synthesis.upper(f, below, ws, shown=None if self.carrier.colours_from_f else a)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"resolution={self.resolution}"
