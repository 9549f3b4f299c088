"""Refine latents by optimisation through the generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.checks import check_shape
from stylegan2.errors import ConfigError
from stylegan2.folded import FoldedSynthesis
from stylegan2.generator import Generator

MAX_STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class OptimiseConfig:
    """How the optimisation moves."""

    w_fraction: float = 0.3  # share of the steps spent on w before ws takes over
    lr_w: float = 0.06  # Adam learning rate on w, in units of W
    lr_ws: float = 0.05  # the same on ws
    spread: float = 0.002  # weight of |ws - w|^2 / w_dim, averaged over layers: keeps ws editable
    patience: int = 25  # steps of one phase without `min_gain` before it ends
    min_gain: float = 0.002  # relative decrease of the loss that counts as progress
    code_share: float = 0.3  # steps on the code of the space F that follow, as a share of those on latents
    lr_code: float = 0.05  # Adam learning rate on the code


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an optimisation stands, told after every step."""

    step: int  # steps done
    steps: int  # steps at most
    psnr: float  # of the best pictures so far, in dB on [-1, 1], their mean


@dataclass(frozen=True, kw_only=True)
class Optimised:
    """The best latents found."""

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim]
    steps: int  # steps taken
    stopped: bool  # cancelled by the caller


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


def anneal(optimiser: torch.optim.Optimizer, lr: float, done: float) -> None:
    """Set the learning rate, by a cosine from `lr` to a tenth: large moves first, then settle.

    Args:
        optimiser: With one group of parameters.
        lr: Where it starts.
        done: Share of the steps that are done, 0 to 1.
    """
    optimiser.param_groups[0]["lr"] = lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def psnr(img: Tensor, target: Tensor) -> Tensor:
    """PSNR of each picture [N] in dB, of pictures [N, 3, R, R] in [-1, 1]."""
    error = (img.clamp(-1, 1) - target).square().mean((1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-10) / 4)


class _Search:
    """State shared by the two phases: the best latents of each picture, the step count, the wish to stop."""

    def __init__(
        self,
        generator: Generator,
        target: Tensor,
        w: Tensor,
        steps: int,
        report: Callable[[Progress], bool] | None,
    ) -> None:
        self.generator, self.target, self.steps, self.report = generator, target, steps, report
        self.synthesis = FoldedSynthesis(generator.synthesis)  # the same pictures, a sixth faster
        self.done, self.stopped = 0, False
        self.best_loss = target.new_full((len(target),), float("inf"))
        self.best_ws = generator.broadcast(w).clone()
        self.best_psnr = target.new_zeros(len(target))

    def run(
        self, start: Tensor, anchor: Tensor | None, steps: int, lr: float, config: OptimiseConfig
    ) -> Tensor:
        """Adam on `start`: w where `anchor` is None, else ws that stay near `anchor` [N, 1, w_dim]."""
        latent = start.detach().clone().requires_grad_(True)
        optimiser = torch.optim.Adam([latent], lr, betas=(0.9, 0.99))
        best_latent, best = start.detach().clone(), torch.full_like(self.best_loss, float("inf"))
        mark, since = best, torch.zeros_like(best)
        seeking = since == 0  # pictures that still improve; the others keep what they have
        for i in range(steps):
            anneal(optimiser, lr, i / steps)
            ws = self.generator.broadcast(latent) if anchor is None else latent
            img = self.synthesis.upper(*self.synthesis.lower(ws, 4), ws)
            loss = pixel_loss(img, self.target)
            if anchor is not None:
                loss = loss + config.spread * (latent - anchor).square().mean((1, 2))
            optimiser.zero_grad()
            # Adam counts every number for itself: summed, each picture moves as it would alone.
            loss.sum().backward()  # type: ignore[no-untyped-call]
            value = loss.detach()
            better = seeking & (value < best)
            best = torch.where(better, value, best)
            best_latent[better] = latent.detach()[better]
            self._keep(better, value, ws.detach(), img.detach())
            optimiser.step()
            self.done += 1
            since = torch.where(value < mark * (1 - config.min_gain), 0, since + 1)
            mark = torch.where(since > 0, torch.minimum(mark, value), value)
            seeking = seeking & (since < config.patience)
            if self.report is not None and not self.report(
                Progress(step=self.done, steps=self.steps, psnr=self.best_psnr.mean().item())
            ):
                self.stopped = True
            if self.stopped or not seeking.any():
                break
        return best_latent

    def _keep(self, better: Tensor, loss: Tensor, ws: Tensor, img: Tensor) -> None:
        better = better & (loss < self.best_loss)
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_psnr = torch.where(better, psnr(img, self.target), self.best_psnr)
        self.best_ws[better] = ws[better]


def optimise_latents(
    generator: Generator,
    target: Tensor,
    w: Tensor,
    steps: int,
    *,
    progress: Callable[[Progress], bool] | None = None,
    config: OptimiseConfig | None = None,
) -> Optimised:
    """Minimise the pixel error of G(w), then of G(ws) from there, for each picture by itself.

    Both phases stop early where no picture improves any more.

    Args:
        generator: Frozen; its device is where the work happens.
        target: img [N, 3, R, R] in [-1, 1].
        w: Start [N, w_dim].
        steps: Most steps of both phases together, 1 to `MAX_STEPS`.
        progress: Called after each step; answering False stops.
        config: Learning rates and weights.

    Returns:
        The latents of the lowest loss seen for each picture, on the CPU.

    Raises:
        ShapeError: `target` or `w` has another shape.
        ConfigError: `steps` is out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps: {steps}; must be from 1 to {MAX_STEPS}")
    side, device = generator.img_resolution, generator.w_avg.device
    check_shape("target", target, "N", 3, side, side)
    check_shape("w", w, len(target), generator.w_dim)
    config = config or OptimiseConfig()
    w = w.to(device)
    search = _Search(generator, target.to(device), w, steps, progress)
    with torch.enable_grad():
        first = max(1, round(steps * config.w_fraction))
        w = search.run(w, None, first, config.lr_w, config)
        rest = steps - search.done
        if rest > 0 and not search.stopped:
            search.run(generator.broadcast(w), w[:, None], rest, config.lr_ws, config)
    return Optimised(w=w.cpu(), ws=search.best_ws.cpu(), steps=search.done, stopped=search.stopped)
