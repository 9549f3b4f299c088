"""A published encoder and its space F as graphs for ONNX."""

import torch
from torch import Tensor, nn

from inversion.chain.steps import Activation, FeatureSynthesis
from inversion.published.model import PublishedModel
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator
from stylegan2.onnx.files import EXAMPLES, Graph
from stylegan2.onnx.graphs import GENERATOR_GUIDE, generator_graphs


class _Encoder(nn.Module):
    """Pictures at the encoder's size -> w, ws, and f where there is one."""

    def __init__(self, model: PublishedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        return self.model.latents(self.model.invert_seen(img))


def published_graphs(generator: Generator, model: PublishedModel) -> list[Graph]:
    """All graphs from a picture to its edited picture, those of the generator among them.

    Args:
        generator: On the CPU, in evaluation mode.
        model: Its encoder, whose mean image is drawn.
    """
    rng = torch.Generator().manual_seed(1)
    img = torch.rand(EXAMPLES, 3, *model.config.in_size, generator=rng) * 2 - 1
    encoder = _Encoder(model).eval()
    with torch.no_grad():
        _, ws, *features = encoder(img)
    graphs = [
        *generator_graphs(generator),
        Graph(
            name="encoder",
            about="Cropped pictures to w, to a style per layer" + (", and to f." if features else "."),
            module=encoder,
            inputs={"img": img},
            outputs=("w", "ws", "f")[: 2 + len(features)],
        ),
    ]
    if not features:
        return graphs
    folded = FoldedSynthesis(generator.synthesis).eval()
    activation = Activation(folded, model.config.f_resolution).eval()
    with torch.no_grad():
        a = activation(ws)
    return [
        *graphs,
        Graph(
            name="activation",
            about="The generator's activation where F enters, of the styles before any edit.",
            module=activation,
            inputs={"ws": ws},
            outputs=("a",),
        ),
        Graph(
            name="feature_synthesis",
            about="Edited styles and f, which the change of the activation is added to, to pictures.",
            module=FeatureSynthesis(folded, model).eval(),
            inputs={"ws_hat": ws, "f": features[0], "a": a},
            outputs=("img",),
        ),
    ]


def published_guide(model: PublishedModel) -> str:
    """How to run the graphs, for the README beside them."""
    height, width = model.config.in_size
    draw = "`feature_synthesis` with ws_hat = ws, edited or not, f, and `activation` of the unedited ws"
    return f"""## Invert

`encoder` is {model.name}'s. It takes RGB pictures [N, 3, {height}, {width}] in [-1, 1], of the cropped
crop, shrunk with antialiasing. It gives w, ws, and f where it knows F.

## Draw an inverted picture

{draw if model.has_f else "`synthesis` with ws, edited or not"}.

{GENERATOR_GUIDE}"""
