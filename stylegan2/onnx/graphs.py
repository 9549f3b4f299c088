"""The generator as graphs for ONNX: z -> ws, and ws -> img."""

import torch
from torch import Tensor, nn

from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator
from stylegan2.onnx.files import EXAMPLES, Graph

GENERATOR_GUIDE = """## Draw

`mapping`, then `synthesis`: `ws[:, 0]` is w, and all rows are equal until something edits them. The noise
is the stored one, so that equal styles give equal pictures. `truncation_psi` is an array without axes,
`np.array(0.7, np.float32)`.
"""


class _Mapping(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, truncation_psi: Tensor) -> Tensor:
        w, mean = self.generator.mapping(z), self.generator.w_avg
        return self.generator.broadcast(mean + truncation_psi * (w - mean))


class _Synthesis(nn.Module):
    def __init__(self, folded: FoldedSynthesis) -> None:
        super().__init__()
        self.folded = folded

    def forward(self, ws: Tensor) -> Tensor:
        f, below = self.folded.lower(ws, self.folded.resolutions[-1])
        return self.folded.upper(f, below, ws).clamp(-1, 1)


def generator_graphs(generator: Generator) -> list[Graph]:
    """`mapping` and `synthesis` of a generator on the CPU, in evaluation mode."""
    z = torch.randn(EXAMPLES, generator.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ws = generator.broadcast(generator.mapping(z)).contiguous()
    return [
        Graph(
            name="mapping",
            about="Unit normal z to equal styles in all layers; `truncation_psi` 1 keeps w, 0 is the mean.",
            module=_Mapping(generator).eval(),
            inputs={"z": z, "truncation_psi": torch.tensor(0.7)},
            outputs=("ws",),
        ),
        Graph(
            name="synthesis",
            about="A style per layer to pictures in [-1, 1], with the stored noise.",
            module=_Synthesis(FoldedSynthesis(generator.synthesis)).eval(),
            inputs={"ws": ws},
            outputs=("img",),
        ),
    ]
