"""Faces as the refiners' training edits them: before and after, beside what the edit should have drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from train.data.pairs import Pairs
from train.refiners.edits import EditSampler


@dataclass(frozen=True, kw_only=True)
class EditedFaces:
    """Real faces (or none of them), then pairs, under random edits; no gradient leads through any of it.

    The last rows are the pairs', as many as `target` has.
    """

    a: Tensor  # activations before the edit
    a_hat: Tensor  # and after it
    below: Tensor  # what the blocks below drew, after it
    ws_hat: Tensor
    drawn: Tensor  # G(ws) of the pairs
    target: Tensor  # what G draws of the pairs' own w under the same edits
    before: Tensor  # G(w) of the pairs


@dataclass(frozen=True, kw_only=True)
class FaceEditor:
    """Draws random edits of inverted faces.

    Args:
        sampler: Of the edits.
        lower: The generator below f: ws -> activation and what was drawn so far.
        upper: And above it.
        draw: ws -> G(ws).
        broadcast: w -> ws, the same style in every layer.
    """

    sampler: EditSampler
    lower: Callable[[Tensor], Any]
    upper: Callable[[Tensor, Tensor, Tensor], Tensor]
    draw: Callable[[Tensor], Tensor]
    broadcast: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def edit(self, ws: Tensor, a_real: Tensor, pairs: Pairs, rng: torch.Generator) -> EditedFaces:
        """Edit the faces of `ws`.

        Args:
            ws: Styles of real faces, if any, then of the pairs [N + M, num_ws, w_dim].
            a_real: Activations of the real faces [N, C, R, R].
            pairs: M of them.
            rng: Draws the edits; on the CPU.
        """
        n = len(a_real)
        edits = self.sampler.sample(len(ws), rng)
        ws_hat = edits.apply(ws)
        m = len(ws) - n
        a, below = self.lower(torch.cat([ws[n:], ws_hat]))
        drawn = self.upper(a[:m], below[:m], ws[n:]).float().clamp(-1, 1)
        target = self.draw(edits.rows(slice(n, None)).apply(self.broadcast(pairs.w.to(ws))))
        return EditedFaces(
            a=torch.cat([a_real, a[:m]]),
            a_hat=a[m:].clone(),
            below=below[m:].clone(),
            ws_hat=ws_hat,
            drawn=drawn.clone(),
            target=target,
            before=pairs.img.to(ws.device),
        )
