"""Optimise an inversion: every space from where it stands, none ever below it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from inversion.chain.inversion import Inversion
from inversion.chain.steps import FeatureSpace, FeatureSynthesis
from inversion.optimise.code import optimise_code
from inversion.optimise.latents import LatentSearch, OptimiseConfig
from inversion.optimise.search import KEPT, Tell
from stylegan2.checks import check_shape
from stylegan2.errors import ConfigError
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator

MAX_STEPS = 2000  # in each space


def optimise_inversion(
    generator: Generator,
    target: Tensor,
    start: Inversion,
    steps: int,
    *,
    synthesis: FoldedSynthesis | None = None,
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
        synthesis: Of `generator`; None folds one more.
        space: How f is used; needed where `start` has one that shall be optimised.
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
    search = LatentSearch(generator, config, synthesis)
    improved = replace(start, steps=0, stopped=False)
    if start.f is not None and space is not None:
        drawing = FeatureSynthesis(search.synthesis, space).to(search.device)
        found = optimise_code(
            drawing,
            target.to(search.device),
            start.f.ws,
            start.f.code,
            steps,
            progress=progress,
            config=config,
        )
        code = found.best.cpu()
        if not torch.equal(code, start.f.code):
            improved = replace(improved, f=replace(start.f, code=code), drawn=None)
        improved = replace(improved, steps=found.steps, stopped=found.stopped)
    if not improved.stopped:
        found = search.w(target, start.w, steps, progress=progress)
        w, taken = found.best.cpu(), improved.steps + found.steps
        has_w = start.has_w or found.steps > 1  # the first only looks at the start
        improved = replace(improved, w=w, has_w=has_w, steps=taken, stopped=found.stopped)
        improved = _with_ws(search, target, improved, steps, fit_colours, progress)
    return improved


def _with_ws(
    search: LatentSearch,
    target: Tensor,
    start: Inversion,
    steps: int,
    fit_colours: Callable[[Tensor], Tensor] | None,
    progress: Tell | None,
) -> Inversion:
    """`start` with its ws improved; where it is stopped, with the best that is known without a search."""
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
