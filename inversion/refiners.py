"""Refiners: all that follows the foundation latent."""

import copy

import torch
from torch import Tensor, nn

from inversion.carry import FeatureCarrier
from inversion.config import RefinerConfig
from inversion.feature import FeatureRefiner
from inversion.reference_attention import ReferenceCrossAttention, fold
from inversion.wplus import Levels, WPlusRefiner

__all__ = ["FeatureRefiner", "Levels", "Refiners", "WPlusRefiner"]


class Refiners(nn.Module):
    """All that follows the foundation latent: `wplus`, `feature` and `carrier`, trained for one encoder."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.wplus = WPlusRefiner(config)
        self.feature = FeatureRefiner(config)
        self.carrier = FeatureCarrier(config)

    @torch.no_grad()
    def frame(self, w_avg: Tensor, w_std: Tensor) -> None:
        """Set the frame of reference of the latents: the mean of W [w_dim] and its spread []."""
        for refiner in (self.wplus, self.feature):
            refiner.w_avg.copy_(w_avg)
            refiner.w_std.copy_(w_std)

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
