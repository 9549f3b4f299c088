"""FeatureRenderer: (ws, f) to pixels, before and after edits, on the fastest engine that this machine has."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from inversion.chain.feature_synthesis import Activation, FeatureSpace, FeatureSynthesis
from stylegan2.checks import check_shape
from stylegan2.engines.live import LiveEngine
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What inversion found in the space F of one picture."""

    ws: Tensor  # the styles that the code is added to [1, num_ws, w_dim]: in F, edits start here
    code: Tensor  # [1, code, R, R], see `FeatureRefiner`
    a: Tensor  # G_k(ws) of the unedited picture [1, C, R, R]: the same however far the sliders move
    pixels: Tensor | None = None  # G(ws, f) [1, side, side, 3] uint8; None where it is not drawn yet


class _FeaturePixels(FeatureSynthesis):
    def forward(self, ws_hat: Tensor, code: Tensor, a: Tensor) -> Tensor:
        return to_uint8(super().forward(ws_hat, code, a))


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
        # The activation is computed once a picture and must be that of the edits, so it has their precision.
        open_engine = partial(LiveEngine, device=device, engine=engine, cache=cache)
        self._open_activation = partial(open_engine, Activation(folded, side).eval(), (ws,))
        self.engine = open_engine(_FeaturePixels(folded, space).eval(), (ws, code, a))

    def prepare(self) -> None:
        """Start building the faster engine in the background."""
        self.engine.prepare()

    @cached_property
    def _activation(self) -> LiveEngine:
        """Opened where it is asked for: `Inverter` has the activation from what it draws anyway."""
        engine = self._open_activation()
        engine.prepare()
        return engine

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
        ws_hat = ws_hat.detach().to("cpu", torch.float32).contiguous()
        if feature.pixels is not None and torch.equal(ws_hat, feature.ws):
            return feature.pixels.clone()  # a caller may write on what is drawn
        return self.engine(ws_hat, feature.code, feature.a)[0]
