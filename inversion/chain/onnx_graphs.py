"""Encoder, refiners and feature synthesis as graphs for ONNX, and how to run them one after the other."""

import torch
from torch import Tensor, nn

from inversion.chain.steps import Activation, Encode, FeatureSynthesis, Sketch, Styles
from inversion.networks.feature import FeatureRefiner
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2.errors import CheckpointError
from stylegan2.image import shrink
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator
from stylegan2.onnx.files import Graph
from stylegan2.onnx.graphs import generator_graphs

_LEVELS = ("fine", "middle", "coarse")


class _Code(nn.Module):
    def __init__(self, feature: FeatureRefiner) -> None:
        super().__init__()
        self.feature = feature

    def forward(
        self, img: Tensor, drawn: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, ws: Tensor
    ) -> Tensor:
        code: Tensor = self.feature(img, drawn, (fine, middle, coarse), ws)
        return code


@torch.no_grad()
def inversion_graphs(generator: Generator, encoder: WEncoder, refiners: Refiners | None) -> list[Graph]:
    """All graphs from a picture to its edited picture, those of the generator among them.

    Args:
        generator: On the CPU, in evaluation mode, as the others.
        encoder: Trained for `generator`.
        refiners: Trained for `encoder`; None where the model has none.

    Raises:
        CheckpointError: The encoder's pictures are not a whole fraction of the generator's.
    """
    side, small = generator.img_resolution, encoder.config.in_resolution
    if side % small:
        raise CheckpointError(
            f"the encoder sees {small} px and the generator draws {side} px; must be a multiple for ONNX"
        )
    mapping, synthesis = generator_graphs(generator)
    (ws,) = synthesis.inputs.values()
    drawn = synthesis.module(ws)
    img = (drawn + 0.1 * torch.randn(drawn.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    seen = shrink(img, small)
    encode = Encode(encoder).eval()
    w, *levels = encode(seen)
    found = dict(zip(("w", *_LEVELS), (w, *levels), strict=True))
    graphs = [
        mapping,
        synthesis,
        Graph(
            name="encoder",
            about="Cropped pictures to the foundation latent w and the levels that the refiners look at.",
            module=encode,
            inputs={"img": seen},
            outputs=tuple(found),
        ),
    ]
    if refiners is None:
        return graphs
    return [*graphs, *_refiner_graphs(generator, refiners.fold_attention(), found, (img, drawn, ws))]


def _refiner_graphs(
    generator: Generator,
    refiners: Refiners,
    found: dict[str, Tensor],
    pictures: tuple[Tensor, Tensor, Tensor],
) -> list[Graph]:
    img, drawn, ws = pictures
    folded = FoldedSynthesis(generator.synthesis).eval()
    config, levels = refiners.config, {name: found[name] for name in _LEVELS}
    sketches, looked_at = [], {}
    if refiners.look is not None:
        sketch = Sketch(folded, config.look_resolution, config.num_ws).eval()
        looked_at = {"img": img, **dict(zip(("sketch", "below"), sketch(found["w"]), strict=True))}
        sketches.append(
            Graph(
                name="sketch",
                about="G(w) as far as a second look wants it: an activation, and what is drawn below it.",
                module=sketch,
                inputs={"w": found["w"]},
                outputs=("sketch", "below"),
            )
        )
    styles, activation = Styles(refiners).eval(), Activation(folded, config.f_resolution).eval()
    _, refined = styles(*found.values(), *looked_at.values())
    code = _Code(refiners.feature).eval()
    inputs = {"img": img, "drawn": drawn, **levels, "ws": refined}
    a = activation(refined)
    return [
        *sketches,
        Graph(
            name="styles",
            about="The encoder's answer to a style per layer"
            + (", after a second look at the picture and at a sketch of G(w)." if looked_at else "."),
            module=styles,
            inputs={**found, **looked_at},
            # ONNX wants the names of what goes in and of what comes out to differ.
            outputs=("w_out", "ws"),
        ),
        Graph(
            name="code",
            about="What the pictures have and G(ws) lacks, `drawn`, to the code of the space F.",
            module=code,
            inputs=inputs,
            outputs=("code",),
        ),
        Graph(
            name="activation",
            about="The generator's activation where F enters, of the styles before any edit.",
            module=activation,
            inputs={"ws": refined},
            outputs=("a",),
        ),
        Graph(
            name="feature_synthesis",
            about="Edited styles and the code, which is carried along, to pictures in [-1, 1].",
            module=FeatureSynthesis(folded, refiners).eval(),
            inputs={"ws_hat": ws, "code": code(*inputs.values()), "a": a},
            outputs=("img",),
        ),
    ]


def inversion_guide(generator: Generator, encoder: WEncoder, refiners: Refiners | None) -> str:
    """How to run the graphs, as Markdown with one block of Python that needs numpy and onnxruntime alone."""
    small = encoder.config.in_resolution
    lines = [_HEAD.format(small=small)]
    if refiners is None:
        lines.append(_W_ONLY.format(num_ws=generator.num_ws))
    else:
        look = refiners.look is not None
        lines.append(
            _REFINED.format(
                look=_LOOK if look else "",
                looked_at=", img=img, sketch=sketch, below=below" if look else "",
            )
        )
    return "".join(lines) + "```\n"


_HEAD = """## Invert and edit

`img` is a picture that is cropped as the model's bundle says, as large as the generator's. An edit moves
`ws`: add `strength * sigma * n` of a direction to its layers, for example.

```python
from functools import cache

import numpy as np
import onnxruntime


@cache
def opened(name):
    return onnxruntime.InferenceSession(f"{{name}}.onnx", providers=["CPUExecutionProvider"])


def run(name, **inputs):
    wanted = [end.name for end in opened(name).get_inputs()]  # some models do without some inputs
    return opened(name).run(None, {{name: inputs[name] for name in wanted}})


def shrink(img, side={small}):
    n, c, height, _ = img.shape
    share = height // side
    return img.reshape(n, c, side, share, side, share).mean((3, 5))


"""
_W_ONLY = """def invert(img):
    w, *_ = run("encoder", img=shrink(img))
    return np.repeat(w[:, None], {num_ws}, 1)


def draw(ws_hat):
    return run("synthesis", ws=ws_hat)[0]
"""
_LOOK = """    sketch, below = run("sketch", w=w)
"""
_REFINED = """def invert(img):
    w, fine, middle, coarse = run("encoder", img=shrink(img))
{look}    w, ws = run("styles", w=w, fine=fine, middle=middle, coarse=coarse{looked_at})
    (drawn,) = run("synthesis", ws=ws)
    (code,) = run("code", img=img, drawn=drawn, fine=fine, middle=middle, coarse=coarse, ws=ws)
    (a,) = run("activation", ws=ws)
    return ws, code, a


def draw(ws_hat, code, a):
    return run("feature_synthesis", ws_hat=ws_hat, code=code, a=a)[0]
"""
