"""Improve w and ws by gradient descent through the generator."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from inversion.optimise.search import SearchConfig, SearchResult, Tell, closeness, search
from stylegan2.checks import check_shape
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator
from stylegan2.network.synthesis import draw_styles


@dataclass(frozen=True, kw_only=True)
class OptimiseConfig:
    """How the optimisation moves in each space."""

    w: SearchConfig = field(default_factory=lambda: SearchConfig(lr=0.06))  # in units of W
    ws: SearchConfig = field(default_factory=lambda: SearchConfig(lr=0.03))  # the same
    spread: float = 0.002  # weight of |ws - w|^2 / w_dim, averaged over layers: keeps ws editable
    code: SearchConfig = field(default_factory=lambda: SearchConfig(lr=0.15))  # a share of the code's size
    code_spread: float = 0.001  # weight of |code - start|^2, in that size: keeps f as edits know it


class LatentSearch:
    """Searches of w and ws, for each picture by itself.

    Args:
        generator: Frozen; its device is where the work happens.
        config: Learning rates and weights.
        synthesis: Of `generator`; None folds one more.
    """

    def __init__(
        self,
        generator: Generator,
        config: OptimiseConfig | None = None,
        synthesis: FoldedSynthesis | None = None,
    ) -> None:
        self._generator, self._config = generator, config or OptimiseConfig()
        synthesis = synthesis or FoldedSynthesis(generator.synthesis)
        self.synthesis = synthesis.to(self.device)  # the same pictures, faster

    @property
    def device(self) -> torch.device:
        """Where the work happens, and where the answers are."""
        return self._generator.w_avg.device

    def w(self, target: Tensor, start: Tensor, steps: int, *, progress: Tell | None = None) -> SearchResult:
        """Minimise the pixel error of G(w).

        Args:
            target: img [N, 3, R, R] in [-1, 1].
            start: w [N, w_dim].
            steps: At most so many, fewer where no picture improves any more.
            progress: See `search`.

        Raises:
            ShapeError: `target` or `start` has another shape.
        """
        self._check(target)
        check_shape("w", start, len(target), self._generator.w_dim)
        return search(
            start.to(self.device),
            lambda w: self.draw(self.broadcast(w)),
            target.to(self.device),
            space="w",
            steps=steps,
            config=self._config.w,
            progress=progress,
        )

    def ws(
        self, target: Tensor, start: Tensor, w: Tensor, steps: int, *, progress: Tell | None = None
    ) -> SearchResult:
        """Minimise the pixel error of G(ws), and its distance from the foundation w [N, w_dim]; as `w`."""
        self._check(target)
        check_shape("ws", start, len(target), self._generator.num_ws, self._generator.w_dim)
        check_shape("w", w, len(target), self._generator.w_dim)
        foundation = w.to(self.device)[:, None]
        return search(
            start.to(self.device),
            self.draw,
            target.to(self.device),
            space="w+",
            steps=steps,
            config=self._config.ws,
            penalty=lambda ws: self._config.spread * (ws - foundation).square().mean((1, 2)),
            progress=progress,
        )

    def broadcast(self, w: Tensor) -> Tensor:
        """See `Generator.broadcast`."""
        return self._generator.broadcast(w)

    def draw(self, ws: Tensor) -> Tensor:
        """G(ws): img [N, 3, R, R], with gradients where `ws` has them."""
        return draw_styles(self.synthesis, ws)

    @torch.no_grad()
    def psnr(self, target: Tensor, ws: Tensor) -> Tensor:
        """Of G(ws) against `target`, in dB [N]."""
        return closeness(self.draw(ws.to(self.device)), target.to(self.device))

    def _check(self, target: Tensor) -> None:
        side = self._generator.img_resolution
        check_shape("target", target, "N", 3, side, side)
