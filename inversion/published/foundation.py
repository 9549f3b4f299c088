"""ClcaeFoundation: what lets w+ and f of a CLCAE inversion follow its w."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inversion.chain.inversion import Inversion
from inversion.published.encoders import Look
from inversion.published.model import PublishedModel


@dataclass(frozen=True, kw_only=True)
class ClcaeFoundation:
    """The encoder's answer for one picture, and what it was predicted from."""

    model: PublishedModel
    w: Tensor  # [1, w_dim]
    ws: Tensor  # [1, num_ws, w_dim]
    f: Tensor  # [1, C, 16, 16]
    look: Look

    @torch.no_grad()
    def follow(self, start: Inversion, offset: Tensor) -> Inversion:
        """Move w before the cross-attention, and w+ and f by what the encoder then predicts otherwise.

            base' = base + offset,  ws_hat = E(base'),  f_hat = f(base') + G_k(ws_hat) - G_k(ws)

        The published code edits along directions of W like this; the last two terms are `OffsetCarrier`'s. No
        trunk is run, only the heads. What optimisation has changed of `start` stays as it is.

        Args:
            start: The picture's inversion, optimised or not.
            offset: In W [1, w_dim].

        Returns:
            `start` with other w, ws and f; f.a is still that of the unedited picture.
        """
        device = self.model.w_avg.device
        look = Look(latents=self.look.latents.to(device), fine=self.look.fine.to(device))
        found = self.model.predict((self.w + offset).to(device), look)
        moved = found.ws.cpu() - self.ws
        f = start.f
        if f is not None and found.f is not None:
            f = replace(f, ws=f.ws + moved, code=f.code + (found.f.cpu() - self.f))
        return replace(start, w=start.w + offset, ws=start.ws + moved, f=f, drawn=None)
