"""What a step of W does to faces: draw both ends, measure what they look like and who they are."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editor.photo.colour import Pixels
from stylegan2.engines.renderer import Renderer
from stylegan2.image import from_uint8
from train.directions.choice import Change
from train.directions.fit import Array
from train.evaluate.metrics import MeasureFace, median
from train.losses.identity import IdentityEmbedder

BATCH = 16  # pictures embedded at once


class StepProbe:
    """Measures steps of W on the same faces each time.

    Args:
        renderer: Draws one latent at a time.
        measure_face: Measures one picture.
        embed: Says who a face is; None leaves that out.
        names: Attributes [K] to measure.
        spread: Their standard deviations [K] among faces, the unit of their changes.
        starts: Latents of the faces [N, w_dim].
    """

    def __init__(
        self,
        renderer: Renderer,
        measure_face: MeasureFace,
        embed: IdentityEmbedder | None,
        names: Sequence[str],
        spread: Array,
        starts: Array,
    ) -> None:
        self._renderer, self._measure_face, self._embed = renderer, measure_face, embed
        self._names, self._spread, self._starts = names, spread, starts
        self._middle = None if embed is None else _embeddings(embed, draw(renderer, starts))

    def __call__(self, step: Array) -> Change:
        """From every face less `step` [w_dim] to every face plus `step`."""
        low, high = (list(draw(self._renderer, self._starts + sign * step)) for sign in (-1, 1))
        effects, share = effect_table(low, high, self._measure_face, self._names, self._spread)
        identity = math.nan
        if self._embed is not None and self._middle is not None:
            ends = _embeddings(self._embed, low + high)
            identity = float(median((ends * self._middle.repeat(2, 1)).sum(1)))
        return Change(effects=effects, found=share, identity=identity)


def draw(renderer: Renderer, w: Array) -> Iterable[Pixels]:
    """Pictures [R, R, 3] of latents [N, w_dim], one after another."""
    for one in torch.from_numpy(w).float():
        yield renderer.render(one[None])[0].numpy()


def measure_faces(
    pictures: Iterable[Pixels], measure_face: MeasureFace, names: Sequence[str]
) -> tuple[Array, NDArray[np.bool_]]:
    """Attributes [N, K] of N pictures, NaN without a face; and where a face was found [N]."""
    rows = [measure_face(pixels) for pixels in pictures]
    table = np.array([[row[name] if row else np.nan for name in names] for row in rows])
    return table, ~np.isnan(table[:, 0])


def effect_table(
    low: Iterable[Pixels],
    high: Iterable[Pixels],
    measure_face: MeasureFace,
    names: Sequence[str],
    spread: Array,
) -> tuple[Array, float]:
    """What an edit changes: mean attributes of `high` less those of `low`, and the share of faces found.

    Args:
        low: Pictures of some faces at one end of the edit.
        high: The same faces at the other end.
        measure_face: Picture -> attributes, or None.
        names: Attributes [K].
        spread: Their standard deviations [K], the unit of the change.
    """
    low_table, found_low = measure_faces(low, measure_face, names)
    high_table, found_high = measure_faces(high, measure_face, names)
    both = found_low & found_high
    share = float(np.mean(np.concatenate([found_low, found_high])))
    change = (high_table - low_table)[both].mean(0) / spread if both.any() else np.full(len(names), np.nan)
    return change, share


@torch.no_grad()
def _embeddings(embed: IdentityEmbedder, pictures: Iterable[Pixels]) -> Tensor:
    parts = torch.split(torch.from_numpy(np.stack(list(pictures))), BATCH)
    return torch.cat([embed(from_uint8(part.to(embed.to_crop.device))) for part in parts])
