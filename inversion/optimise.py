"""Refine latents by optimisation through the generator."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from inversion.search import Progress, part_of, search
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
class Optimised:
    """The best latents found."""

    w: Tensor  # [N, w_dim]
    ws: Tensor  # [N, num_ws, w_dim]
    steps: int  # steps taken
    stopped: bool  # cancelled by the caller


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
    target = target.to(device)
    synthesis = FoldedSynthesis(generator.synthesis)  # the same pictures, faster

    def draw(ws: Tensor) -> Tensor:
        return synthesis.upper(*synthesis.lower(ws, 4), ws)

    move = partial(search, target=target, patience=config.patience, min_gain=config.min_gain)
    of_w = move(
        w.to(device),
        lambda latent: draw(generator.broadcast(latent)),
        steps=max(1, round(steps * config.w_fraction)),
        lr=config.lr_w,
        progress=part_of(progress, 0, steps),
    )
    foundation, ws, done = of_w.best, generator.broadcast(of_w.best), of_w.steps
    if of_w.stopped:
        return Optimised(w=foundation.cpu(), ws=ws.cpu(), steps=done, stopped=True)
    of_ws = move(
        ws,
        draw,
        steps=steps - done,
        lr=config.lr_ws,
        penalty=lambda latent: config.spread * (latent - foundation[:, None]).square().mean((1, 2)),
        progress=part_of(progress, done, steps),
    )
    return Optimised(w=foundation.cpu(), ws=of_ws.best.cpu(), steps=done + of_ws.steps, stopped=of_ws.stopped)
