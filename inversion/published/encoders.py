"""The encoders of CLCAE, pSp, e4e and their relatives, by the names of their published weights."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.networks.attention import to_map, to_tokens
from inversion.networks.reference_attention import ReferenceCrossAttention, fold
from inversion.published.config import COARSE_STYLES, MIDDLE_STYLES, PublishedConfig
from inversion.published.heads import (
    COARSE_STEPS,
    FINE_STEPS,
    MIDDLE_STEPS,
    EqualLinear,
    HalvingConvs,
    MapToStyle,
)
from inversion.published.trunk import Pyramid, PyramidEncoder, TrunkEncoder
from stylegan2.checks import check_shape

_LEVEL_STEPS = (COARSE_STEPS, MIDDLE_STEPS, FINE_STEPS)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What CLCAE's encoder sees of N pictures, whatever their base then becomes."""

    latents: Tensor  # contexts of the second style and those after it [N, num_ws - 1, width]
    fine: Tensor  # T3 [N, width, H / 4, W / 4]


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """What an encoder finds of N pictures; styles as offsets from the mean of W."""

    w: Tensor | None  # [N, width]; None where the encoder knows no single style
    ws: Tensor  # [N, num_ws, width]
    f: Tensor | None = None  # [N, width, 16, 16]; None where the encoder knows no F
    look: Look | None = None  # what w+ and f came from; None where they do not come from w


class ClcaeEncoder(PyramidEncoder):
    """CLCAE's inversion network (arXiv:2211.11448, section 3.2, and its published code).

        base   = styles_0(T1)
        o_k    = attention_k(Q = base, K = V = l_k),   l_0 = base,  l_(j+1) = styles_others_j(T1 | T2 | T3)
        w      = w_avg + base,   w+_k = w_avg + base + o_k
        f      = content(attention_f(Q = T3, K = V = base))

    The levels T1 to T3 are coarse, middle and fine. Layers 1 and 2 read T1, 3 to 6 read T2, the others T3.
    Every attention has one key, see `ReferenceCrossAttention`; `fold_attention` takes away what cannot
    matter then. Pictures come as `img - G(w_avg)`.
    """

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__(config.channels)
        self.config = config
        width, num_ws = config.width, config.num_ws
        self.styles = nn.ModuleList([MapToStyle(width, COARSE_STEPS)])
        self.styles_others = nn.ModuleList(
            MapToStyle(width, _LEVEL_STEPS[level_of_style(k)]) for k in range(1, num_ws)
        )
        self.cross_attention = nn.ModuleList(self._attention() for _ in range(num_ws))
        self.feature_cross_attention = self._attention()
        self.content_layer = HalvingConvs(width, 2)

    def forward(self, img: Tensor) -> Offsets:
        """Invert.

        Args:
            img: Pictures less the mean picture [N, 3, *in_size].

        Raises:
            ShapeError: `img` has another shape.
        """
        check_shape("img", img, "N", 3, *self.config.in_size)
        levels = self.pyramid(img)
        heads = enumerate(self.styles_others, 1)
        latents = [head(levels[level_of_style(k)]) for k, head in heads]
        look = Look(latents=torch.stack(latents, 1), fine=levels[2])
        return self.predict(self.styles[0](levels[0]), look)

    def predict(self, base: Tensor, look: Look) -> Offsets:
        """w+ and f of a base [N, width]: the encoder's own, or one that an edit has moved.

        The published code edits along directions of W like this, before the cross-attention, so that w+ and f
        follow the foundation.
        """
        query = base[:, None]
        contexts = torch.cat([query, look.latents], 1)
        o = torch.cat([block(query, contexts[:, k, None]) for k, block in enumerate(self.cross_attention)], 1)
        return Offsets(w=base, ws=query + o, f=self._feature(look.fine, query), look=look)

    def fold_attention(self) -> None:
        """Replace every attention by what is left of it with one key. The tensors' names are then others."""
        for k, block in enumerate(self.cross_attention):
            self.cross_attention[k] = fold(cast("ReferenceCrossAttention", block))
        self.feature_cross_attention = fold(cast("ReferenceCrossAttention", self.feature_cross_attention))

    def _attention(self) -> nn.Module:
        return ReferenceCrossAttention(self.config.width, self.config.heads, self.config.hidden)

    def _feature(self, fine: Tensor, base: Tensor) -> Tensor:
        height, width = fine.shape[2:]
        heard = to_map(self.feature_cross_attention(to_tokens(fine), base), height, width)
        # The generator's maps are square: where pictures were cut to 4:3, the rows that were cut are zero.
        rows = (width - height) // 2
        f: Tensor = self.content_layer(F.pad(heard, (0, 0, rows, rows)))
        return f


class PspEncoder(PyramidEncoder):
    """pSp's encoder (arXiv:2008.00951, section 3): w+_k = w_avg + styles_k(level of k).

    Styles 0 to 2 read the coarse level, 3 to 6 the middle one, the others the fine one.
    """

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__(config.channels)
        self.config = config
        self.styles = nn.ModuleList(
            MapToStyle(config.width, _LEVEL_STEPS[level_of_style(k)]) for k in range(config.num_ws)
        )

    def forward(self, img: Tensor) -> Offsets:
        """Invert `img` [N, 3, *in_size].

        Raises:
            ShapeError: `img` has another shape.
        """
        return Offsets(w=None, ws=self._codes(img))

    def _codes(self, img: Tensor) -> Tensor:
        check_shape("img", img, "N", 3, *self.config.in_size)
        levels: Pyramid = self.pyramid(img)
        codes = [head(levels[level_of_style(k)]) for k, head in enumerate(self.styles)]
        return torch.stack(codes, 1)


class E4eEncoder(PspEncoder):
    """e4e's encoder (arXiv:2102.02766, section 4.1): w+_0 = w_avg + styles_0, w+_k = w+_0 + styles_k.

    The heads, and the levels that they read, are pSp's.
    """

    def forward(self, img: Tensor) -> Offsets:
        """Invert `img` [N, 3, *in_size].

        Raises:
            ShapeError: `img` has another shape.
        """
        codes = self._codes(img)
        return Offsets(w=None, ws=torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], 1))


class SingleWEncoder(TrunkEncoder):
    """One style for all layers: w = w_avg + linear(mean of the last stage over the picture).

    pSp's `BackboneEncoderUsingLastLayerIntoW`, e4e's `SingleStyleCodeEncoder` and HyperStyle's `WEncoder`
    (arXiv:2111.15666) are this network.
    """

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__(config.channels)
        self.config = config
        self.linear = EqualLinear(config.width, config.width)

    def forward(self, img: Tensor) -> Offsets:
        """Invert `img` [N, 3, *in_size].

        Raises:
            ShapeError: `img` has another shape.
        """
        check_shape("img", img, "N", 3, *self.config.in_size)
        w: Tensor = self.linear(self.coarse(img).mean((2, 3)))
        return Offsets(w=w, ws=w[:, None].repeat(1, self.config.num_ws, 1))


PublishedEncoder = ClcaeEncoder | PspEncoder | SingleWEncoder  # and e4e's, which is one of pSp's


def build_encoder(config: PublishedConfig) -> PublishedEncoder:
    """An encoder with fresh weights."""
    kinds: dict[str, type[PublishedEncoder]] = {
        "clcae": ClcaeEncoder,
        "psp": PspEncoder,
        "e4e": E4eEncoder,
        "single-w": SingleWEncoder,
    }
    return kinds[config.kind](config)


def level_of_style(k: int) -> int:
    """Which level style `k` is read from: 0 coarse, 1 middle, 2 fine."""
    return 0 if k < COARSE_STYLES else 1 if k < MIDDLE_STYLES else 2
