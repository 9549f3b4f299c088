"""Refiners: all that follows the encoder's answer."""

import copy

import torch
from torch import Tensor, nn

from inversion.networks.carry import FeatureCarrier
from inversion.networks.config import RefinerConfig
from inversion.networks.feature import build_feature
from inversion.networks.reference_attention import ReferenceCrossAttention, fold
from inversion.networks.second_look import SecondLook
from inversion.networks.wplus import build_wplus


class Refiners(nn.Module):
    """All that follows the encoder's answer, trained for one encoder: `look`, `wplus`, `feature`, `carrier`.

    `look` is None where the settings have no second look.
    """

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.look = SecondLook(config) if config.second_look else None
        self.wplus = build_wplus(config)
        self.feature = build_feature(config)
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
