"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676), in a compact form."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.errors import ShapeError

SHIFT = 0.125  # largest integer translation, as a share of the side
SCALE_STD = 0.2  # of the scale's log2
BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5  # of the contrast's log2
SATURATION_STD = 1.0  # of the saturation's log2
LARGEST_P = 0.85  # at p near 1 turned and tinted pictures leak into what the generator draws


def augment(img: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Change every picture at random, differentiably; each kind of change meets a picture with probability p.

    In order: turns by 90 degrees, integer translation, one bilinear resampling for isotropic scale and
    rotation (each with its own p), brightness, contrast, saturation. The distributions are those of the
    paper's appendix B; its wavelet filters, anisotropic scale and hue are left out, and the resampling is not
    low-passed. Edges are reflected. A picture that no change meets passes bit for bit.

    Args:
        img: Pictures [N, 3, R, R], about [-1, 1].
        p: In [0, 1].
        rng: A CPU generator.

    Returns:
        [N, 3, R, R].

    Raises:
        ShapeError: `img` has another number of axes or channels, or is not square.
    """
    check_shape("img", img, "N", 3, "R", "R")
    if img.shape[2] != img.shape[3]:
        raise ShapeError("img", tuple(img.shape), "[N, 3, R, R], square")
    # All draws are made whatever p is, so that what one change draws never depends on another.
    met = torch.rand(7, len(img), generator=rng) < p
    uniform = torch.rand(4, len(img), generator=rng)
    normal = torch.randn(4, len(img), generator=rng)
    img = _turn(img, (uniform[0] * 4).long() * met[0])
    img = _shift(img, ((uniform[1:3] * 2 - 1) * SHIFT * img.shape[2]).round().long() * met[1])
    img = _resample(img, (normal[0] * SCALE_STD).exp2(), (uniform[3] * 2 - 1) * math.pi, met[2:4])
    img = _where(met[4], img + _column(normal[1] * BRIGHTNESS_STD, img), img)
    img = _where(met[5], img * _column((normal[2] * CONTRAST_STD).exp2(), img), img)
    grey = img.mean(1, keepdim=True)
    vivid = grey + (img - grey) * _column((normal[3] * SATURATION_STD).exp2(), img)
    return _where(met[6], vivid, img)


def _column(values: Tensor, img: Tensor) -> Tensor:
    return values.to(img)[:, None, None, None]


def _where(met: Tensor, changed: Tensor, img: Tensor) -> Tensor:
    return torch.where(met.to(img.device)[:, None, None, None], changed, img)


def _turn(img: Tensor, quarters: Tensor) -> Tensor:
    """Turn picture i by `quarters[i]` times 90 degrees."""
    turned = img
    for count in (1, 2, 3):
        turned = _where(quarters == count, img.rot90(count, (2, 3)), turned)
    return turned


def _shift(img: Tensor, pixels: Tensor) -> Tensor:
    """Move picture i down by `pixels[0, i]` and right by `pixels[1, i]`, fewer than R, edges reflected."""
    side = img.shape[2]
    at = torch.arange(side) - pixels[:, :, None]  # [2, N, R]
    at = (side - 1) - ((side - 1) - at.abs()).abs()
    rows, columns = at.to(img.device)
    img = img.gather(2, rows[:, None, :, None].expand(img.shape))
    return img.gather(3, columns[:, None, None, :].expand(img.shape))


def _resample(img: Tensor, scale: Tensor, angle: Tensor, met: Tensor) -> Tensor:
    """Enlarge by `scale` [N] where `met[0]`, rotate by `angle` [N] where `met[1]`."""
    either = met.any(0)
    if not bool(either.any()):
        return img
    scale = torch.where(met[0], scale, torch.ones_like(scale))
    angle = torch.where(met[1], angle, torch.zeros_like(angle))
    zero, cosine, sine = torch.zeros_like(scale), angle.cos() / scale, angle.sin() / scale
    matrix = torch.stack([cosine, -sine, zero, sine, cosine, zero], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(matrix.to(img), list(img.shape), align_corners=False)
    moved = F.grid_sample(img, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _where(either, moved, img)


class AdaptiveProbability:
    """p of `augment`, led by how sure the discriminator is of its training pictures (Eq. 1, r_t).

        r_t = E sign(D(real)); p rises while r_t is above `target`, and falls while it is below

    Args:
        target: Of r_t, in [0, 1]: near 0 hardly anything is learnt by heart, at 1 everything; None keeps p.
        start: First p.
        kimg: Thousand pictures in which p can go from 0 to 1.
        every: Batches between two changes of p.
    """

    def __init__(self, *, target: float | None, start: float, kimg: float, every: int) -> None:
        self.p = start
        self._target, self._kimg, self._every = target, kimg, every
        self._signs: list[Tensor] = []

    def observe(self, real_logits: Tensor) -> None:
        """Take note of D of one batch of training pictures [N, 1], and change p when it is time."""
        if self._target is None:
            return
        self._signs.append(real_logits.detach().sign().mean())  # stays on the device: reading it would wait
        if len(self._signs) < self._every:
            return
        r_t = sum(map(float, self._signs)) / len(self._signs)
        direction = (r_t > self._target) - (r_t < self._target)
        step = direction * len(real_logits) * self._every / (self._kimg * 1000)
        self.p = min(max(self.p + step, 0.0), LARGEST_P)
        self._signs = []

    def state_dict(self) -> dict[str, Any]:
        """P, and what was seen since it last changed."""
        return {"p": self.p, "signs": [float(sign) for sign in self._signs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.p = state["p"]
        self._signs = [torch.tensor(sign) for sign in state["signs"]]
