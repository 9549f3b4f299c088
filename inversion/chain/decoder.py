"""Decoder: latents of any space, edited or not, to pixels."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inversion.chain.inversion import Feature, Inversion, Space
from inversion.chain.steps import Activation, FeatureSpace, FeatureSynthesis
from inversion.transfer.config import WAYS
from stylegan2.checks import check_shape
from stylegan2.engines.live import LiveEngine
from stylegan2.engines.lower import LowerPart
from stylegan2.engines.renderer import Renderer
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator

# ws [N, num_ws, w_dim] -> ws_hat, the same shape; or, where zones move by themselves, [N, Z, num_ws, w_dim].
Edit = Callable[[Tensor], Tensor]


def unedited(ws: Tensor) -> Tensor:
    """The edit that changes nothing."""
    return ws


class Decoder:
    """Inversion and edit -> pixels, in each space by what draws it.

    Args:
        renderer: Draws styles.
        features: Draws styles with features; None where the model has no space F.
    """

    def __init__(self, renderer: Renderer, features: "FeatureRenderer | None" = None) -> None:
        self.renderer, self.features = renderer, features

    @property
    def live_engines(self) -> list[LiveEngine]:
        """All that draws, first what a first picture needs."""
        return [*self.renderer.engines, *(() if self.features is None else (self.features.engine,))]

    @property
    def engines(self) -> list[str]:
        """Names of what draws at the moment."""
        return [part.engine.name for part in (self.renderer, self.features) if part is not None]

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        for engine in self.live_engines:
            engine.prepare()

    def wait(self) -> None:
        """Return when they are built, or have refused."""
        for engine in self.live_engines:
            engine.wait()

    @property
    def converted(self) -> bool:
        """Whether all that draws does so by converted graphs."""
        return all(engine.converted for engine in self.live_engines)

    def styles(self, found: Inversion, space: Space) -> Tensor:
        """Where edits start in a space [N, num_ws, w_dim]; in F from the styles that the code was found for.

        Without f, those of W+.
        """
        if space == "w":
            return found.w[:, None].expand(-1, self.renderer.num_ws, -1)
        return found.f.ws if found.f is not None and self._features(found, space) else found.ws

    def draw(self, found: Inversion, space: Space, edit: Edit = unedited) -> Tensor:
        """Draw what was found of N pictures, its styles moved by an edit.

        Returns:
            pixels [N, R, R, 3] uint8, on the CPU.
        """
        start, features = self.styles(found, space), self._features(found, space)
        ws_hat = edit(start)
        if features is None or found.f is None:
            return self.renderer.render(ws_hat)
        if found.drawn is not None and torch.equal(ws_hat, start):
            return found.drawn.clone()  # a caller may write on what is drawn
        return features.render(ws_hat, found.f)

    def draw_ways(self, found: Inversion, space: Space, edit: Edit = unedited) -> Tensor:
        """Draw as `draw`, and beside it by the styles alone: what `TransferNetwork` chooses from.

        Returns:
            pixels [N, WAYS, R, R, 3] uint8, on the CPU. Outside F both are the same picture. Whatever the
            edit, also none, the same graph draws, so that two answers differ by their edits alone.
        """
        ws_hat, features = edit(self.styles(found, space)), self._features(found, space)
        if features is None or found.f is None:
            return self.renderer.render(ws_hat)[:, None].expand(-1, WAYS, -1, -1, -1).contiguous()
        return features.render_ways(ws_hat, found.f)

    def engine(self, found: Inversion, space: Space) -> LiveEngine:
        """What draws in this space: F has an engine of its own."""
        return (self._features(found, space) or self.renderer).engine

    def drawn_by(self, found: Inversion, space: Space) -> tuple[str, ...]:
        """Names of all engines that have a part in a picture: those of others round otherwise."""
        lower = self.renderer.lower
        parts = (self.engine(found, space), *(() if lower is None else (lower.engine,)))
        return tuple(part.name for part in parts)

    def _features(self, found: Inversion, space: Space) -> "FeatureRenderer | None":
        """What draws F; None where W or W+ is drawn, also for want of f."""
        return self.features if space == "f" and found.f is not None else None


class _PixelsOfBothWays(FeatureSynthesis):
    def forward(  # type: ignore[override]
        self, ws_hat: Tensor, code: Tensor, a: Tensor, *begun: Tensor
    ) -> tuple[Tensor, ...]:
        in_f, below_f = self.both_ways(ws_hat, code, a, *begun)
        return to_uint8(in_f), to_uint8(below_f)


class FeatureRenderer:
    """Styles and a `Feature` -> pixels: a full decode of the edited styles, with the code carried into it.

    Args:
        generator: Its shapes are used.
        space: Its `carrier` is used.
        synthesis: Of `generator`, as the `Renderer` has it; None folds one more.
        lower: Likewise, at the space's resolution or below; None draws all of it here.
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
        synthesis: FoldedSynthesis | None = None,
        lower: LowerPart | None = None,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        self._shape = (generator.num_ws, generator.w_dim)
        self._synthesis = synthesis = synthesis or FoldedSynthesis(generator.synthesis).eval()
        config = space.config
        ws = generator.broadcast(generator.w_avg[None]).detach().cpu().contiguous()
        self._side = side = config.f_resolution
        code = torch.zeros(1, config.code, side, side)
        a = torch.zeros(1, config.f_channels, side, side)
        # The activation is computed once a picture and must be that of the edits, so it has their precision.
        open_engine = partial(LiveEngine, device=device, engine=engine, cache=cache)
        self._open_activation = partial(open_engine, Activation(synthesis, side).eval(), (ws,))
        moved = synthesis.in_zones(ws).contiguous()
        self._lower, begun = lower, () if lower is None else lower.example
        self.engine = open_engine(_PixelsOfBothWays(synthesis, space).eval(), (moved, code, a, *begun))

    @cached_property
    def _activation(self) -> LiveEngine:
        """Opened where it is asked for: `Chain` has the activation from what it draws anyway."""
        engine = self._open_activation()
        engine.prepare()
        return engine

    def activation(self, ws: Tensor) -> Tensor:
        """G_k(ws) of styles [N, num_ws, w_dim]: [N, C, R, R]."""
        check_shape("ws", ws, "N", *self._shape)
        if self._lower is not None and self._lower.resolution == self._side:
            return self._lower(ws)[0]
        return self._activation(ws.detach().to("cpu", torch.float32).contiguous())[0]

    def render(self, ws_hat: Tensor, feature: Feature) -> Tensor:
        """Render edited or unedited styles with what F holds of N pictures.

        Args:
            ws_hat: [N, num_ws, w_dim]; or of zones, see `FoldedSynthesis`.
            feature: Of the N pictures.

        Returns:
            pixels [N, R, R, 3] uint8, on the CPU.

        Raises:
            ShapeError: `ws_hat` has another shape.
        """
        return self.render_ways(ws_hat, feature)[:, 0]

    def render_ways(self, ws_hat: Tensor, feature: Feature) -> Tensor:
        """`render`, and beside it the styles alone: pixels [N, WAYS, R, R, 3] uint8; raises as it."""
        check_shape("ws_hat", ws_hat, len(feature.ws), *["Z"] * (ws_hat.ndim - 3), *self._shape)
        ws_hat = self._synthesis.in_zones(ws_hat.detach().to("cpu", torch.float32)).contiguous()
        begun = () if self._lower is None else self._lower(ws_hat)
        ways = self.engine(ws_hat, feature.code, feature.a, *begun)
        # torch.stack would wake torch's threads, which then spin beside those of the next engine.
        return torch.from_numpy(np.stack([way.numpy() for way in ways], 1))
