"""How quickly a face becomes another person's as its latent moves."""

from collections.abc import Callable

import torch
from torch import Tensor

from stylegan2 import Generator
from train.core.seeds import Stream, positioned_generator

BATCH = 8  # faces whose gradients are found at once


def identity_gradients(
    generator: Generator, embed: Callable[[Tensor], Tensor], w: Tensor, *, seed: int = 0
) -> Tensor:
    """Gradients whose second moment is the metric that identity gives to W.

    With J the Jacobian of embed(G(w)), of unit length, a small step d loses `1 - cos = |J d|^2 / 2` of the
    cosine between the faces before and after it. Drawing v from a unit normal, g = J^T v has
    `E[g g^T] = J^T J`: one backward pass a face, where J itself would take one for every number of an
    embedding.

    Args:
        generator: Frozen.
        embed: img [N, 3, R, R] in [-1, 1] to embeddings [N, D] of unit length, differentiable.
        w: Latents [N, w_dim] on the generator's device.
        seed: Of v.

    Returns:
        g [N, w_dim], one for each latent.
    """
    rng = positioned_generator(seed, Stream.IDENTITY_GRADIENTS)
    found = []
    for part in torch.split(w, BATCH):
        leaf = part.clone().requires_grad_()
        embedding = embed(generator.synthesis(generator.broadcast(leaf), noise_mode="const"))
        v = torch.randn(embedding.shape, generator=rng).to(embedding)
        found.append(torch.autograd.grad(embedding, leaf, v)[0])
    return torch.cat(found)
