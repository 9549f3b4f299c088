"""Search for what draws a picture best: Adam on one tensor a picture, the best of each kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion.chain.inversion import Space
from stylegan2.image import psnr

KEPT = 0.02  # dB that must be gained for the start to be given up: less is lost again in rounding to 8 bits

CLOSEST = 106.0  # dB; what is closer is equal


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an optimisation stands, told after every step."""

    step: int  # steps done in this space
    steps: int  # steps at most in this space
    psnr: float  # of the best pictures so far, in dB on [-1, 1], their mean
    space: Space  # that is searched


Tell = Callable[[Progress], bool]  # told after every step; answering False cancels


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a search moves, and when it ends early."""

    lr: float  # Adam's learning rate, annealed by a cosine to a tenth: large moves first, then settle
    patience: int = 25  # steps without `min_gain` after which a picture keeps what it has
    min_gain: float = 0.002  # relative decrease of the loss since the last that counted


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The best of each picture that a search has seen."""

    best: Tensor  # [N, ...], as the start
    steps: int  # steps taken
    stopped: bool  # by the caller


def search(
    start: Tensor,
    draw: Callable[[Tensor], Tensor],
    target: Tensor,
    *,
    space: Space,
    steps: int,
    config: SearchConfig,
    penalty: Callable[[Tensor], Tensor] | None = None,
    progress: Tell | None = None,
) -> SearchResult:
    """Minimise `pixel_loss` of what is drawn, and a penalty, for each picture by itself.

    Every step draws and compares first, then moves: the first compares the start itself, and the last move is
    not drawn. Ends when no picture improves any more.

    Args:
        start: What moves [N, ...].
        draw: From it to img [N, 3, R, R].
        target: img [N, 3, R, R] in [-1, 1].
        space: What is searched, for `progress`.
        steps: At most so many.
        config: Learning rate and patience.
        penalty: Added to the losses, [N].
        progress: See `Tell`.

    Returns:
        Of each picture what had the lowest loss of all that gains at least `KEPT` dB; else `start`.
    """
    moving = start.detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([moving], config.lr, betas=(0.9, 0.99))
    best, best_loss = start.detach().clone(), target.new_full((len(target),), float("inf"))
    best_psnr = floor = torch.full_like(best_loss, float("-inf"))
    mark, since = best_loss, torch.zeros_like(best_loss)
    seeking = since == 0  # pictures that still improve
    done, stopped = 0, False
    while done < steps and not stopped and seeking.any():
        optimiser.param_groups[0]["lr"] = config.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done / steps)))
        with torch.enable_grad():
            img = draw(moving)
            loss = pixel_loss(img, target)
            if penalty is not None:
                loss = loss + penalty(moving)
            optimiser.zero_grad()
            # Adam counts every number for itself: summed, each picture moves as it would alone.
            loss.sum().backward()  # type: ignore[no-untyped-call]
        value, ratio = loss.detach(), closeness(img.detach(), target)
        better = seeking & (value < best_loss) & (ratio >= floor)
        best_loss = torch.where(better, value, best_loss)
        best_psnr = torch.where(better, ratio, best_psnr)
        best[better] = moving.detach()[better]
        if not done:
            floor = ratio + KEPT
        optimiser.step()
        done += 1
        # The mark stays until enough was gained since, or small steady gains would never count.
        gained = value < mark * (1 - config.min_gain)
        mark, since = torch.where(gained, value, mark), torch.where(gained, 0, since + 1)
        seeking = seeking & (since < config.patience)
        if progress is not None:
            news = Progress(step=done, steps=steps, psnr=best_psnr.mean().item(), space=space)
            stopped = not progress(news)
    return SearchResult(best=best, steps=done, stopped=stopped)


def pixel_loss(img: Tensor, target: Tensor) -> Tensor:
    """Squared error of each picture at full and at a quarter of the resolution, which carries large shapes.

    Args:
        img: [N, 3, R, R], R a multiple of 4.
        target: The same shape.

    Returns:
        Losses [N].
    """
    fine = (img - target).square().mean((1, 2, 3))
    coarse = (F.avg_pool2d(img, 4) - F.avg_pool2d(target, 4)).square().mean((1, 2, 3))
    return fine + 0.5 * coarse


def closeness(img: Tensor, target: Tensor) -> Tensor:
    """PSNR of each picture [N] in dB, of img [N, 3, R, R] as it is shown; at most `CLOSEST`."""
    return psnr(img.clamp(-1, 1), target, span=2).clamp(max=CLOSEST)
