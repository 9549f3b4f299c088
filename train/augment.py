"""Random changes of pictures; all randomness comes from the generator that is passed in."""

import torch
from torch import Tensor


def flip(img: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror each picture [N, 3, H, W] with probability one half."""
    mirrored = torch.rand(len(img), generator=rng).to(img.device) < 0.5
    return torch.where(mirrored[:, None, None, None], img.flip(3), img)


def jitter(img: Tensor, rng: torch.Generator) -> Tensor:
    """Vary contrast by up to 10 %, brightness by up to 0.1, and add noise of at most 0.02 standard deviation.

    Generated pictures are cleaner than photos; an encoder shall not learn to rely on it.

    Args:
        img: Pictures [N, 3, H, W] in [-1, 1].
        rng: A CPU generator.

    Returns:
        The same shape, at most a little beyond [-1, 1].
    """
    bright, contrast, grain = torch.rand(3, len(img), 1, 1, 1, generator=rng).to(img)
    noise = torch.randn(img.shape, generator=rng).to(img)
    changed: Tensor = img * (0.9 + 0.2 * contrast) + (0.2 * bright - 0.1) + noise * (0.02 * grain)
    return changed
