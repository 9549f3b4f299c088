"""Renderer: latents to pixels, on the fastest engine that this machine has."""

from pathlib import Path

import torch
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.engines.live import LiveEngine
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


class Renderer:
    """ws -> pixels. Owns device, number format and speed; callers own nothing but latents.

    Args:
        generator: Its weights are folded into an inference graph; the generator itself is not changed.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino" (CPU only).
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: See `LiveEngine`.
    """

    def __init__(
        self, generator: Generator, *, device: str = "auto", engine: str = "auto", cache: Path | None = None
    ) -> None:
        self.num_ws = generator.num_ws
        self.w_dim = generator.w_dim
        example = generator.broadcast(generator.w_avg[None]).detach().cpu().contiguous()
        self.synthesis = FoldedSynthesis(generator.synthesis).eval()  # for whatever else runs the generator
        self.engine = LiveEngine(self.synthesis, (example,), device=device, engine=engine, cache=cache)

    def render(self, ws: Tensor) -> Tensor:
        """Render styles with the stored noise.

        Args:
            ws: [N, num_ws, w_dim] float32; [N, w_dim] is used for every layer.

        Returns:
            pixels [N, R, R, 3] uint8, on the CPU.

        Raises:
            ShapeError: `ws` has another shape.
        """
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.num_ws, -1)
        check_shape("ws", ws, "N", self.num_ws, self.w_dim)
        return self.engine(ws.detach().to("cpu", torch.float32).contiguous())[0]
