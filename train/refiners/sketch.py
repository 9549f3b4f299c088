"""Fit a second look's sketch to the generator, so that it compares pictures from the first step on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion.networks.second_look import SecondLook
from stylegan2 import Generator
from stylegan2.image import shrink
from stylegan2.ops.upfirdn2d import upsample2d
from train.core.seeds import Stream, positioned_generator
from train.data.pairs import sample_w

PICTURES, BATCH = 192, 16


@torch.no_grad()
def fit_sketch(look: SecondLook, generator: Generator, psi: tuple[float, float], seed: int) -> None:
    """Set `look.read` so that `look.sketch` is as near to G(w), shrunk, as a linear map of each place can be.

    Least squares over all places of generated pictures: with the activation and 1 as x, and what the blocks
    above `below` add to the shrunk picture as y, it solves (X^T X) read = X^T y.

    Args:
        look: On the generator's device; only `read` changes.
        generator: Frozen.
        psi: Truncation of the pictures, lowest and highest.
        seed: Of the pictures.
    """
    rng, resolution = positioned_generator(seed, Stream.SKETCH), look.config.look_resolution
    features = look.config.look_features + 1
    squares = generator.w_avg.new_zeros(features, features, dtype=torch.float64)
    products = squares.new_zeros(features, 3)
    for _ in range(PICTURES // BATCH):
        ws = generator.broadcast(sample_w(generator, BATCH, psi, rng)).contiguous()
        a, below = generator.synthesis.lower(ws, resolution)
        target = shrink(generator.synthesis.upper(a, below, ws).clamp(-1, 1), resolution)
        if below is not None:  # above the first block
            target = target - upsample2d(below)
        x, y = _places(F.pad(a, (0, 0, 0, 0, 0, 1), value=1.0)), _places(target)
        squares += x.T @ x
        products += x.T @ y
    # Channels that are never active leave the squares singular; a millionth of the mean bends nothing else.
    squares += 1e-6 * squares.diagonal().mean() * torch.eye(features, device=squares.device)
    read = torch.linalg.solve(squares, products).T  # [3, features]
    values = {"weight": read[:, :-1, None, None], "bias": read[:, -1]}
    look.read.load_state_dict(values)


def _places(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N H W, C] in float64."""
    return x.permute(0, 2, 3, 1).flatten(0, 2).double()
