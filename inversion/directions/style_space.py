"""Edits found in the generator's own weights: SeFa's factors, and single channels of StyleSpace."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from inversion.directions.components import GROUP, RANGE
from inversion.directions.linear import EditDirection
from inversion.directions.target import SAMPLES, SEED, DirectionTarget
from stylegan2.network.generator import Generator
from stylegan2.network.layers import FullyConnectedLayer

PROJECTIONS = 6  # random ones, that the effect of a channel is measured by
RIDGE = 1e-3  # of the largest singular value: how exactly one channel alone is moved


@dataclass(frozen=True)
class Layer:
    """One modulated convolution: where its style comes from."""

    name: str  # of its affine layer within the synthesis network
    affine: FullyConnectedLayer
    style: int  # which of ws it reads


def style_layers(generator: Generator) -> list[Layer]:
    """The modulated 3 x 3 convolutions that have styles of their own, from the coarsest on."""
    found: list[Layer] = []
    base = generator.config.base_resolution
    for block in (block for block in generator.synthesis.blocks if block.resolution <= base):
        for name in ("conv1",) if block.first else ("conv0", "conv1"):
            affine = getattr(block, name).affine
            found.append(Layer(f"b{block.resolution}.{name}.affine", affine, len(found)))
    return found


@torch.no_grad()
def factorised_edits(generator: Generator, count: int) -> list[EditDirection]:
    """Directions of W that change styles most: closed-form factorisation, SeFa (arXiv:2007.06600, Eq. 5).

    The eigenvectors of A^T A with the largest eigenvalues, A the weights that make styles of w, row by row of
    unit length.

    Args:
        generator: Its weights are all that is needed.
        count: At most w_dim.

    Returns:
        As many edits of every layer, strongest first; the largest entry of each is positive.
    """
    rows = torch.cat([layer.affine.weight for layer in style_layers(generator)]).double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    directions = vectors.T.flip(0)[: min(count, generator.w_dim)]
    directions = directions * directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    return [
        _edit(generator, f"factor-{number}", f"Factor {number}", direction.float())
        for number, direction in enumerate(directions, 1)
    ]


def channel_at(generator: Generator, ws: Tensor, place: Tensor, rank: int = 1) -> EditDirection:
    """The channel of StyleSpace (arXiv:2011.12799) that changes a place of faces most, and the rest least.

    How much a channel's style changes the picture inside the place and outside is found by gradients of
    random projections: with v a unit normal, E[(d v.x / ds)^2] is the squared length of dx / ds. Channels are
    ranked by the share of that which lies inside, times its size there for a typical change of the style.

    Args:
        generator: Frozen.
        ws: Styles of a few faces [N, num_ws, w_dim].
        place: Where, as weights of 0 to 1 [R, R].
        rank: 1 for the best, 2 for the next.

    Returns:
        An edit of one layer: the shortest step of w that moves the channel and hardly another.
    """
    layers = style_layers(generator)
    rng = torch.Generator().manual_seed(SEED)
    inside = [torch.zeros(len(layer.affine.bias)) for layer in layers]
    outside = [torch.zeros(len(layer.affine.bias)) for layer in layers]
    mask = place.to(generator.w_avg)
    for one in torch.split(ws, 1):
        biases = {f"{layer.name}.bias": layer.affine.bias.detach().clone() for layer in layers}
        leaves = {name: bias.requires_grad_() for name, bias in biases.items()}
        img = functional_call(generator.synthesis, leaves, (one.to(generator.w_avg),))
        for number in range(2 * PROJECTIONS):
            v = torch.randn(img.shape, generator=rng).to(img)
            sums, weight = (inside, mask) if number % 2 == 0 else (outside, 1 - mask)
            gradients = torch.autograd.grad(
                (img * v * weight).sum(), list(leaves.values()), retain_graph=number + 1 < 2 * PROJECTIONS
            )
            for layer_sum, gradient in zip(sums, gradients, strict=True):
                layer_sum.add_(gradient.cpu().square())
    with torch.no_grad():
        w = generator.sample_w(SAMPLES, seed=SEED)
        spread = [layer.affine(w).std(0).cpu() for layer in layers]
    scores = torch.cat(
        [
            here / (here + there + 1e-12) * (here.sqrt() * s)
            for here, there, s in zip(inside, outside, spread, strict=True)
        ]
    )
    best = int(scores.argsort(descending=True)[min(rank, len(scores)) - 1])
    for layer in layers:
        if best < len(layer.affine.bias):
            return _channel(generator, layer, best)
        best -= len(layer.affine.bias)
    raise AssertionError("a channel beyond the last")


@torch.no_grad()
def _channel(generator: Generator, layer: Layer, channel: int) -> EditDirection:
    weight = (layer.affine.weight * layer.affine.weight_gain).double()
    u, scale, vh = torch.linalg.svd(weight, full_matrices=False)
    damped = scale / (scale.square() + (RIDGE * scale.max()).square())
    step = (u[channel] * damped) @ vh  # the pseudo-inverse's column
    rows = torch.zeros(generator.num_ws, generator.w_dim)
    rows[layer.style] = (step / step.norm()).float().cpu()
    deviation = layer.affine(generator.sample_w(SAMPLES, seed=SEED)).std(0)[channel].cpu()
    moved = float(weight[channel].cpu() @ rows[layer.style].double())
    resolution, conv = layer.name.split(".")[:2]
    name = f"{resolution}-{conv}-{channel}"
    return EditDirection(
        name=f"channel-{name}", label=f"Channel {name}", group=GROUP, low="less", high="more",
        direction=rows, sigma=float(deviation) / max(abs(moved), 1e-6), range=RANGE,
        layers=(layer.style, layer.style + 1),
    )  # fmt: skip


def _edit(generator: Generator, name: str, label: str, direction: Tensor) -> EditDirection:
    direction = direction.cpu()
    return EditDirection(
        name=name, label=label, group=GROUP, low="one way", high="the other", direction=direction,
        sigma=DirectionTarget(generator, "").sigma(direction), range=RANGE, layers=(0, generator.num_ws),
    )  # fmt: skip
