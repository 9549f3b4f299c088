"""LowerPart: the lower layers of the synthesis, run once for all graphs that go on from there."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from stylegan2.engines.live import LiveEngine
from stylegan2.network.folded import FoldedSynthesis

_REMEMBERED = 4  # answers, a megabyte each


class _Lower(nn.Module):
    def __init__(self, synthesis: FoldedSynthesis, resolution: int) -> None:
        super().__init__()
        self.synthesis, self.resolution = synthesis, resolution

    def forward(self, ws: Tensor) -> tuple[Tensor, ...]:
        x, img = self.synthesis.lower(ws, self.resolution)
        return (x,) if img is None else (x, img)

    def extra_repr(self) -> str:
        """What no tensor tells: converted graphs are told apart by it."""
        return f"resolution={self.resolution}"


class LowerPart:
    """ws -> what `Synthesis.lower` answers at a resolution S: [N, C, S, S], and [N, 3, S/2, S/2].

    Nearly all weights of a generator are those of its lowest layers, and every graph that draws would hold
    them once more. Answers to the styles that were asked for last are remembered: edits of light and colour
    move the upper layers alone.

    Args:
        synthesis: Draws.
        resolution: S, above 4.
        example: Styles of one picture, as `synthesis.in_zones` answers.
        run: What runs it, told of inputs [1, ...].
    """

    def __init__(
        self,
        synthesis: FoldedSynthesis,
        resolution: int,
        example: Tensor,
        run: Callable[[nn.Module, tuple[Tensor, ...]], LiveEngine],
    ) -> None:
        self.resolution = resolution
        self._in_zones, self._rows = synthesis.in_zones, 2 * synthesis.resolutions.index(resolution) + 1
        channels = synthesis.channels(resolution)
        zeros = partial(torch.zeros, 1)
        self.example = (zeros(channels, *[resolution] * 2), zeros(3, *[resolution // 2] * 2))
        self.engine = run(_Lower(synthesis, resolution).eval(), (example,))
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, bytes], tuple[Tensor, ...]] = OrderedDict()

    def __call__(self, ws: Tensor) -> tuple[Tensor, ...]:
        """Run the layers.

        Args:
            ws: [N, num_ws, w_dim]; or of zones, see `FoldedSynthesis`.

        Raises:
            ShapeError: `ws` has another shape.
        """
        ws = self._in_zones(ws.detach().to("cpu", torch.float32)).contiguous()
        if len(ws) > 1:
            return self.engine(ws)
        # Two engines round differently, and no picture may be drawn by both.
        key = self.engine.name, ws[..., : self._rows, :].numpy().tobytes()
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = self.engine(ws)
        with self._lock:
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found
