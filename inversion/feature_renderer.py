"""FeatureRenderer: (ws, f) to pixels, before and after edits, on the fastest engine that this machine has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.folded import FoldedSynthesis
from stylegan2.generator import Generator
from stylegan2.image import to_uint8
from stylegan2.live_engine import LiveEngine


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What inversion found in the space F of one picture."""

    code: Tensor  # [1, code, R, R], see `FeatureRefiner`
    a: Tensor  # G_k(ws) of the unedited picture [1, C, R, R]: the same however far the sliders move


class Carrier(Protocol):
    """A module that knows what of a picture's code belongs into f after an edit."""

    @property
    def colours_from_f(self) -> bool:
        """Whether f's own block draws its colours from f too, and not from the activation it replaces."""

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


class _FeatureSynthesis(nn.Module):
    def __init__(self, synthesis: FoldedSynthesis, carrier: Carrier, resolution: int) -> None:
        super().__init__()
        self.synthesis, self.carrier, self.resolution = synthesis, carrier, resolution

    def forward(self, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        a_hat, below = self.synthesis.lower(ws_hat, self.resolution)
        shown = None if self.carrier.colours_from_f else a_hat
        f_hat = self.carrier.carry(code, a, a_hat)
        return to_uint8(self.synthesis.upper(f_hat, below, ws_hat, shown=shown))


class FeatureRenderer:
    """Styles and a `Feature` -> pixels: a full decode of the edited styles, with the code carried into it.

    Args:
        generator: Its weights are folded into an inference graph; the generator itself is not changed.
        space: Its `carrier` is used.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino" (CPU only).
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        generator: Generator,
        space: FeatureSpace,
        *,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        self._shape = (generator.num_ws, generator.w_dim)
        folded = FoldedSynthesis(generator.synthesis).eval()
        config = space.config
        ws = generator.broadcast(generator.w_avg[None]).detach().cpu().contiguous()
        side = config.f_resolution
        code = torch.zeros(1, config.code, side, side)
        a = torch.zeros(1, config.f_channels, side, side)
        lower = Activation(folded, side).eval()
        # The activation is computed once a picture and must be that of the edits, so it has their precision.
        self._activation = LiveEngine(lower, (ws,), device=device, engine=engine, coarse=True, cache=cache)
        self.engine = LiveEngine(
            _FeatureSynthesis(folded, space.carrier, side).eval(),
            (ws, code, a),
            device=device,
            engine=engine,
            coarse=True,
            cache=cache,
        )

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        self.engine.prepare()
        self._activation.prepare()

    def activation(self, ws: Tensor) -> Tensor:
        """G_k(ws) of styles [1, num_ws, w_dim]: [1, C, R, R]."""
        check_shape("ws", ws, 1, *self._shape)
        return self._activation(ws.detach().to("cpu", torch.float32).contiguous())[0]

    def render(self, ws_hat: Tensor, feature: Feature) -> Tensor:
        """Render edited or unedited styles [1, num_ws, w_dim] with what F holds.

        Returns:
            pixels [1, R, R, 3] uint8, on the CPU.

        Raises:
            ShapeError: `ws_hat` has another shape.
        """
        check_shape("ws_hat", ws_hat, 1, *self._shape)
        return self.engine(ws_hat.detach().to("cpu", torch.float32).contiguous(), feature.code, feature.a)[0]
