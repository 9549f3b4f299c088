"""Refiners: all that follows the encoder's answer."""

import copy

import torch
from torch import Tensor, nn

from inversion.networks.attention import Levels
from inversion.networks.carry import FeatureCarrier
from inversion.networks.config import RefinerConfig
from inversion.networks.feature import FeatureRefiner
from inversion.networks.reference_attention import ReferenceCrossAttention, fold
from inversion.networks.second_look import SecondLook, Seen
from inversion.networks.wplus import WPlusRefiner

__all__ = ["FeatureRefiner", "Levels", "Refiners", "SecondLook", "Seen", "Styles", "WPlusRefiner"]


class Refiners(nn.Module):
    """All that follows the encoder's answer, trained for one encoder: `look`, `wplus`, `feature`, `carrier`.

    `look` is None where the settings have no second look.
    """

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.look = SecondLook(config) if config.second_look else None
        self.wplus = WPlusRefiner(config)
        self.feature = FeatureRefiner(config)
        self.carrier = FeatureCarrier(config)

    @torch.no_grad()
    def frame(self, w_avg: Tensor, w_std: Tensor) -> None:
        """Set the frame of reference of the latents: the mean of W [w_dim] and its spread []."""
        for refiner in (self.wplus, self.feature):
            refiner.w_avg.copy_(w_avg)
            refiner.w_std.copy_(w_std)
        if self.look is not None:
            self.look.w_std.copy_(w_std)

    def fold_attention(self) -> "Refiners":
        """A copy for inference that draws the same, without the weights that attention to one key ignores.

        The variants `tokens` and `none` have no such weights: their copy differs in nothing but the mode.
        A folded copy is for use, not for `save_refiners`: its tensors are not those of the architecture.
        """
        folded = copy.deepcopy(self).eval().requires_grad_(False)
        for parent in list(folded.modules()):
            for name, child in parent.named_children():
                if isinstance(child, ReferenceCrossAttention):
                    setattr(parent, name, fold(child))
        return folded


class Styles(nn.Module):
    """What lies between the encoder's answer and F, as one module for the engines of inference."""

    def __init__(self, refiners: Refiners) -> None:
        super().__init__()
        self.look, self.wplus = refiners.look, refiners.wplus

    def forward(
        self, w: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor, *looked_at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Improve and refine.

        Args:
            w: The encoder's answer [N, w_dim].
            fine: Its feature level, as the next two.
            middle: See above.
            coarse: See above.
            looked_at: `img`, `a` and `below`, as `SecondLook` wants them; nothing without a second look.

        Returns:
            w [N, w_dim], after the second look if there is one, and ws [N, num_ws, w_dim].
        """
        seen = Seen(w, (fine, middle, coarse), None)
        if self.look is not None:
            img, a, below = looked_at
            seen = self.look(img, a, below, w, seen.levels)
        return seen.w, self.wplus(seen.w, seen.levels, seen.missing)
