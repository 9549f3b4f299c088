"""WPlusRefiner: w -> ws, in the three variants that `RefinerConfig.attention` names."""

import torch
from torch import Tensor, nn

from inversion.networks.attention import CrossAttentionBlock, Levels, to_tokens, zero_started
from inversion.networks.config import RefinerConfig
from inversion.networks.reference_attention import ReferenceCrossAttention
from stylegan2.checks import check_shape

FINE, MIDDLE, COARSE = range(3)


class WPlusRefiner(nn.Module):
    """w and the picture's feature levels -> ws (CLCAE section 3.2).

        ws_k = w + w_std * head(o_k)

    Where o comes from differs: `build_wplus` makes a `TokensWPlus`, `ReferenceWPlus` or `PlainWPlus`,
    as `config.attention` says. The head starts at zero: an untrained refiner returns w for every layer.
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        if config.second_look:
            self.tell = nn.Linear(config.look_width, config.num_ws * config.width)
            self.hear = zero_started(nn.Linear(config.width, config.width))
            self.answer = zero_started(nn.Linear(config.width, config.w_dim))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones([]))

    def forward(self, w: Tensor, levels: Levels, missing: Tensor | None = None) -> Tensor:
        """Refine.

        Args:
            w: Foundation latents [N, w_dim].
            levels: Feature levels of the same pictures.
            missing: What a `SecondLook` found in them [N, look_width]; None without one.

        Returns:
            ws [N, num_ws, w_dim].

        Raises:
            ShapeError: An argument does not have the shape above.
        """
        check_shape("w", w, "N", self.config.w_dim)
        normalised = (w - self.w_avg) / self.w_std
        if missing is None:
            offset = self._offset(normalised, levels, w.new_zeros(1, 1, 1))
        else:
            check_shape("missing", missing, len(w), self.config.look_width)
            told = self.tell(missing).unflatten(1, (self.config.num_ws, self.config.width))
            offset = self._offset(normalised, levels, self.hear(told)) + self.answer(told)
        return w[:, None] + self.w_std * offset

    def _offset(self, normalised: Tensor, levels: Levels, heard: Tensor) -> Tensor:
        """Of ws from w, in standard deviations [N, num_ws, w_dim].

        Args:
            normalised: w in the same unit [N, w_dim].
            levels: Feature levels.
            heard: What every layer hears of the second look [N, num_ws, width]; [1, 1, 1] without one.
        """
        raise NotImplementedError


class TokensWPlus(WPlusRefiner):
    """The query of layer k is w with an embedding of k, and with what G(w) misses.

    Keys and values are all places of all three levels.
    So the foundation latent asks and the picture answers.
    """

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__(config)
        width, side = config.width, config.in_resolution // 4
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in config.level_channels)
        self.rows = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(width, side // 2**i, 1)) for i in range(3)
        )
        self.columns = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(width, 1, side // 2**i)) for i in range(3)
        )
        self.ask = nn.Linear(config.w_dim, width)
        self.layer = nn.Parameter(0.02 * torch.randn(config.num_ws, width))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(width, width, config.heads, 2 * width) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = zero_started(nn.Linear(width, config.w_dim))

    def _offset(self, normalised: Tensor, levels: Levels, heard: Tensor) -> Tensor:
        placed = zip(levels, self.project, self.rows, self.columns, strict=True)
        context = torch.cat([to_tokens(project(x) + row + column) for x, project, row, column in placed], 1)
        x = self.ask(normalised)[:, None] + self.layer + heard
        for block in self.blocks:
            x = block(x, context)
        offset: Tensor = self.head(self.norm(x))
        return offset


class ReferenceWPlus(WPlusRefiner):
    """As CLCAE's published code: each layer has its block, and one vector of the picture as its only key.

        o_k = attention_k(Q = base, K = V = latent_k),  base = ask((w - w_avg) / w_std)

    `latent_k` is read from one level, see `level_of_layer`. Unlike the published code, the blocks work at
    `width` and not at w_dim, a level's mean and a small perceptron stand in for its towers of convolutions,
    layer 0 has a latent of its own (there it is `base`), and a zero-started head follows.
    """

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__(config)
        width = config.width
        self.sources = [level_of_layer(k, config.num_ws) for k in range(config.num_ws)]
        self.latents = nn.ModuleList(
            _perceptron(config.level_channels[i], width, width) for i in self.sources
        )
        self.ask = nn.Linear(config.w_dim, width)
        self.blocks = nn.ModuleList(
            ReferenceCrossAttention(width, config.heads, 2 * width) for _ in range(config.num_ws)
        )
        self.head = zero_started(nn.Linear(width, config.w_dim))

    def _offset(self, normalised: Tensor, levels: Levels, heard: Tensor) -> Tensor:
        means, base = _means(levels), self.ask(normalised)[:, None] + heard  # [N, num_ws or 1, width]
        bases = base.expand(-1, self.config.num_ws, -1).split(1, 1)
        layers = zip(self.blocks, self.latents, self.sources, bases, strict=True)
        o = [block(own, latent(means[source])[:, None]) for block, latent, source, own in layers]
        offset: Tensor = self.head(torch.cat(o, 1))
        return offset


class PlainWPlus(WPlusRefiner):
    """Without attention, for comparison: the means of the levels say it all, and w asks nothing."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__(config)
        width = config.width
        self.read = _perceptron(sum(config.level_channels), 2 * width, width)
        self.norm = nn.LayerNorm(width)
        self.head = zero_started(nn.Linear(width, config.num_ws * config.w_dim))

    def _offset(self, normalised: Tensor, levels: Levels, heard: Tensor) -> Tensor:
        x = self.norm(self.read(torch.cat(_means(levels), 1)) + heard.mean(1))
        offset: Tensor = self.head(x).unflatten(1, (self.config.num_ws, self.config.w_dim))
        return offset


def level_of_layer(k: int, num_ws: int) -> int:
    """Which level the latent of layer `k` of `num_ws` is read from: `COARSE`, `MIDDLE` or `FINE`.

    The published code reads layers 0-2 from its coarse level, 3-6 from the middle one and the others from
    the fine one, for any number of layers. With the 12 of a 128 px generator that is so here too; with more
    or fewer the borders keep their place in proportion (a quarter and seven twelfths, rounded).
    """
    if k < round(num_ws / 4):
        return COARSE
    return MIDDLE if k < round(num_ws * 7 / 12) else FINE


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def _means(levels: Levels) -> list[Tensor]:
    return [level.mean((2, 3)) for level in levels]  # [N, C]


def build_wplus(config: RefinerConfig) -> WPlusRefiner:
    """The variant that `config.attention` names."""
    return _VARIANTS[config.attention](config)


_VARIANTS: dict[str, type[WPlusRefiner]] = {
    "tokens": TokensWPlus,
    "reference": ReferenceWPlus,
    "none": PlainWPlus,
}
