"""Random changes of pictures; all randomness comes from the generator that is passed in."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mirrored:
    """Pictures of which some are mirror images."""

    img: Tensor  # [N, 3, R, R] in [-1, 1]
    flags: Tensor  # which are mirrored [N], bool

    def with_mirrored_mean(self, seen: Tensor, img_avg: Tensor) -> Tensor:
        """What an encoder shall be shown, which subtracts the mean's picture from it.

        The mean belongs to the picture before it was mirrored, so both are mirrored together:
        `result - img_avg` is the mirror image of `picture - img_avg`.

        Args:
            seen: Pictures [M, 3, r, r], M >= N, of which the first N are `img`, shrunk.
            img_avg: The mean's picture [3, r, r].
        """
        flags = self.flags.to(seen.device)[:, None, None, None]
        shift = torch.where(flags, img_avg - img_avg.flip(2), torch.zeros_like(img_avg))
        return torch.cat([seen[: len(shift)] + shift, seen[len(shift) :]])


def mirror(img: Tensor, rng: torch.Generator) -> Mirrored:
    """Mirror each picture [N, 3, H, W] with probability one half."""
    flags = torch.rand(len(img), generator=rng) < 0.5
    return Mirrored(torch.where(flags.to(img.device)[:, None, None, None], img.flip(3), img), flags)


def flip(img: Tensor, rng: torch.Generator) -> Tensor:
    """`mirror`, where nobody needs to know which."""
    return mirror(img, rng).img


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
