"""Renderer: latents to pixels, on the fastest engine that this machine has."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan2.engines.live import LiveEngine
from stylegan2.engines.lower import LowerPart
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator

_SAMPLES = 4  # styles by which a rounding of the layers is judged; fewer where a picture takes seconds


class _Upper(nn.Module):
    def __init__(self, synthesis: FoldedSynthesis) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, ws: Tensor, x: Tensor, img: Tensor) -> Tensor:
        synthesis = self.synthesis
        return to_uint8(synthesis.upper(*synthesis.rise(x, img, ws, synthesis.resolutions[-1]), ws))


class Renderer:
    """ws -> pixels. Owns device, number format and speed; callers own nothing but latents.

    Args:
        generator: Its weights are folded into an inference graph; the generator itself is not changed.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino" (CPU only).
        zones: Shares [Z, S, S] of parts of a picture that may have styles of their own, see
            `FoldedSynthesis`; None where all of it has the same.
        shared: Resolution below the model's up to which other graphs draw too, see `LowerPart`; None where
            nothing else draws.
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        zones: Tensor | None = None,
        shared: int | None = None,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        self.num_ws = generator.num_ws
        self.w_dim = generator.w_dim
        # For whatever else runs the generator.
        self.synthesis = synthesis = FoldedSynthesis(generator.synthesis, zones).eval()
        with torch.no_grad():
            samples = generator.sample_w(_SAMPLES if generator.img_resolution <= 256 else 2, seed=0)
            synthesis.samples = generator.broadcast(samples).cpu()
        average = generator.broadcast(generator.w_avg[None]).detach().cpu()
        example = synthesis.in_zones(average).contiguous()
        open_engine = partial(LiveEngine, device=device, engine=engine, cache=cache)
        self.lower: LowerPart | None = None
        if shared is None:
            self.engine = open_engine(synthesis, (example,))
        else:
            self.lower = LowerPart(synthesis, shared, example, open_engine)
            self.engine = open_engine(_Upper(synthesis).eval(), (example, *self.lower.example))

    @property
    def zones(self) -> int:
        """How many parts of a picture may have styles of their own; 1 where all of it has the same."""
        return self.synthesis.zones

    @property
    def engines(self) -> tuple[LiveEngine, ...]:
        """Of its parts, in their order."""
        return (self.engine,) if self.lower is None else (self.lower.engine, self.engine)

    def prepare(self) -> None:
        """Start building faster engines in the background."""
        for engine in self.engines:
            engine.prepare()

    def render(self, ws: Tensor) -> Tensor:
        """Render styles with the stored noise.

        Args:
            ws: [N, num_ws, w_dim] float32; [N, w_dim] is used for every layer. With zones also
                [N, Z, num_ws, w_dim].

        Returns:
            pixels [N, R, R, 3] uint8, on the CPU.

        Raises:
            ShapeError: `ws` has another shape.
        """
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.num_ws, -1)
        ws = self.synthesis.in_zones(ws.detach().to("cpu", torch.float32)).contiguous()
        return self.engine(ws, *(() if self.lower is None else self.lower(ws)))[0]
