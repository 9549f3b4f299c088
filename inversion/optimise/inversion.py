"""Refine an inversion by optimisation: every space from where it stands, none ever below it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from inversion.chain.feature_synthesis import FeatureSpace, FeatureSynthesis
from inversion.chain.inversion import Inversion
from inversion.optimise.code import optimise_code
from inversion.optimise.latents import LatentSearch, OptimiseConfig
from inversion.optimise.search import KEPT, Tell
from stylegan2.checks import check_shape
from stylegan2.errors import ConfigError
from stylegan2.network.generator import Generator

MAX_STEPS = 2000  # in each space


def refine_inversion(
    generator: Generator,
    target: Tensor,
    start: Inversion,
    steps: int,
    *,
    space: FeatureSpace | None = None,
    fit_colours: Callable[[Tensor], Tensor] | None = None,
    progress: Tell | None = None,
    config: OptimiseConfig | None = None,
) -> Inversion:
    """Improve w, ws and f, each by itself: the code of f on the styles that it has, then w, then ws.

    f comes first, since it is what is looked at. ws starts without the colours that were fitted to it, which
    edits would exaggerate, or from w for every layer where that is closer; colours are fitted at its end.

    Args:
        generator: Frozen; its device is where the work happens.
        target: img [1, 3, R, R] in [-1, 1], the picture that `start` inverts.
        start: Where to begin.
        steps: Most steps in each space, 1 to `MAX_STEPS`; fewer where the picture stops improving.
        space: How f is used; needed where `start` has one that shall be refined.
        fit_colours: ws -> the same with the picture's colours.
        progress: Told after every step; answering False cancels, and the best so far is returned.
        config: Learning rates and weights.

    Returns:
        In every space the best found, at least as close to `target` as `start`; on the CPU.

    Raises:
        ShapeError: `target` has another shape.
        ConfigError: `steps` is out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps: {steps}; must be from 1 to {MAX_STEPS}")
    check_shape("target", target, 1, 3, generator.img_resolution, generator.img_resolution)
    search = LatentSearch(generator, config)
    refined = replace(start, steps=0, stopped=False)
    if start.f is not None and space is not None:
        synthesis = FeatureSynthesis(search.synthesis, space).to(search.device)
        found = optimise_code(
            synthesis, target, start.f.ws, start.f.code, steps, progress=progress, config=config
        )
        code = found.best.cpu()
        f = start.f if torch.equal(code, start.f.code) else replace(start.f, code=code, pixels=None)
        refined = replace(refined, f=f, steps=found.steps, stopped=found.stopped)
    if not refined.stopped:
        found = search.w(target, start.w, steps, progress=progress)
        w, taken = found.best.cpu(), refined.steps + found.steps
        has_w = start.has_w or found.steps > 1  # the first only looks at the start
        refined = replace(refined, w=w, has_w=has_w, steps=taken, stopped=found.stopped)
        refined = _with_ws(search, target, refined, steps, fit_colours, progress)
    return refined


def _with_ws(
    search: LatentSearch,
    target: Tensor,
    start: Inversion,
    steps: int,
    fit_colours: Callable[[Tensor], Tensor] | None,
    progress: Tell | None,
) -> Inversion:
    """`start` with its ws refined; where it is stopped, with the best that is known without a search."""
    own = start.ws if start.plain_ws is None else start.plain_ws
    ws = max(own, search.broadcast(start.w).cpu(), key=lambda ws: search.psnr(target, ws).item())
    taken, stopped = start.steps, start.stopped
    if not stopped:
        found = search.ws(target, ws, start.w, steps, progress=progress)
        ws, taken, stopped = found.best.cpu(), taken + found.steps, found.stopped
    coloured = ws if fit_colours is None else fit_colours(ws)
    gain = search.psnr(target, coloured) - search.psnr(target, start.ws)
    if gain.item() >= KEPT:
        start = replace(start, ws=coloured, plain_ws=None if fit_colours is None else ws)
    return replace(start, steps=taken, stopped=stopped)
