"""Settings of the inversion networks."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from stylegan2.errors import ConfigError

Attention = Literal["tokens", "reference", "none"]
FeatureForm = Literal["carried", "offset", "replacement"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Architecture of a `WEncoder`."""

    in_resolution: int = 128  # pixels a side, a multiple of 32
    w_dim: int = 512
    channels: tuple[int, int, int, int, int] = (40, 72, 144, 288, 448)  # stem, three levels, head
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)  # residual blocks: three levels, head
    hidden: int = 1024  # units of the head's hidden layer

    def __post_init__(self) -> None:
        _check_backbone(self.in_resolution, self.channels, self.depths)

    @property
    def level_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """[C, H, W] of the backbone's fine, middle and coarse level."""
        sides = (self.in_resolution // share for share in (4, 8, 16))
        return tuple((width, side, side) for width, side in zip(self.channels[1:4], sides, strict=True))


@dataclass(frozen=True, kw_only=True)
class ContrastivePairConfig:
    """Architecture of a `ContrastivePair`."""

    in_resolution: int = 128  # pixels a side, a multiple of 32
    w_dim: int = 512
    channels: tuple[int, int, int, int, int] = (32, 48, 96, 160, 256)  # stem, three levels, last level
    depths: tuple[int, int, int, int] = (1, 1, 2, 1)  # residual blocks: three levels, last level
    latent_hidden: int = 512  # units of the hidden layer of a latent block
    latent_blocks: int = 2
    embedding_dim: int = 512  # width of the common space

    def __post_init__(self) -> None:
        _check_backbone(self.in_resolution, self.channels, self.depths)
        for name in ("w_dim", "latent_hidden", "latent_blocks", "embedding_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}; must be at least 1")


@dataclass(frozen=True, kw_only=True)
class RefinerConfig:
    """Architecture of the refiners of W+ and F; the first block of fields follows encoder and generator."""

    in_resolution: int  # of the encoder, pixels a side
    level_channels: tuple[int, int, int]  # of the encoder's backbone
    img_resolution: int  # of the generator
    w_dim: int
    num_ws: int
    f_channels: int  # of the generator's activation at f_resolution

    f_resolution: int = 32  # where f enters the generator, at most half of img_resolution
    width: int = 256  # of the tokens of W+
    heads: int = 4
    blocks: int = 2  # cross-attention blocks of W+
    f_width: int = 128  # of the feature map that f is read from
    f_blocks: int = 3  # residual blocks of that map
    f_hidden: int = 160  # between code and offset
    code: int = 96  # channels of the code
    carry_width: int = 32  # of the tokens that are matched before and after an edit
    second_look: bool = False  # whether w is improved, and W+ informed, by what G(w) misses
    look_resolution: int = 64  # of the generator's activation that is looked at, a multiple of 16
    look_features: int = 128  # channels of that activation
    look_channels: tuple[int, int, int, int, int] = (24, 48, 96, 128, 80)  # stem, three levels, tail
    look_width: int = 152  # of the vector that says what G(w) misses
    # To what w and f attend: many tokens; one, as in CLCAE's published code; nothing, for comparison.
    attention: Attention = "tokens"
    # What the code becomes: an offset that edits carry along; for comparison, as in CLCAE, an offset or whole
    # activations that stay where they are.
    feature: FeatureForm = "carried"
    # Chosen after training, on faces that nothing is reported of.
    readiness: float = 6.7  # of `FeatureCarrier`'s gates: less keeps more of the person and less of an edit
    restraint: float = 0.3  # of `ColourFit`: what colours cost that other faces do not have

    def __post_init__(self) -> None:
        check_choice("attention", self.attention, get_args(Attention))
        check_choice("feature", self.feature, get_args(FeatureForm))
        for name, value in vars(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ConfigError(f"{name}: {value}; must be at least 1")
        for name in ("readiness", "restraint"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: {getattr(self, name)}; must be at least 0")
        for name in ("width", "f_width"):
            if getattr(self, name) % self.heads:
                raise ConfigError(
                    f"{name}: {getattr(self, name)}; must be a multiple of heads ({self.heads})"
                )
        if self.img_resolution % (2 * self.f_resolution):
            raise ConfigError(
                f"f_resolution: {self.f_resolution}; must be at most half of {self.img_resolution} "
                "and divide it"
            )
        if self.second_look and (
            self.look_resolution % 16 or self.img_resolution % (2 * self.look_resolution)
        ):
            raise ConfigError(
                f"look_resolution: {self.look_resolution}; must be a multiple of 16, at most half of "
                f"{self.img_resolution} and divide it"
            )

    def with_look_of(self, other: "RefinerConfig") -> "RefinerConfig":
        """These settings, but for the second look, which is that of `other`."""
        look = {name: value for name, value in vars(other).items() if name.startswith("look_")}
        return replace(self, second_look=other.second_look, **look)

    def tuned_as(self, other: "RefinerConfig") -> "RefinerConfig":
        """These settings, but for those that are chosen after training, which are those of `other`."""
        return replace(self, readiness=other.readiness, restraint=other.restraint)


def check_choice(name: str, found: str, allowed: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless the refiners have such a variant."""
    if found not in allowed:
        raise ConfigError(f"{name}: {found!r}; must be one of {list(allowed)}")


def _check_backbone(in_resolution: int, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
    if in_resolution < 32 or in_resolution % 32:
        raise ConfigError(f"in_resolution: {in_resolution}; must be a positive multiple of 32")
    for name, values in (("channels", channels), ("depths", depths)):
        if min(values) < 1:
            raise ConfigError(f"{name}: {list(values)}; every entry must be at least 1")
    if min(channels) < 8:
        raise ConfigError(f"channels: {list(channels)}; every entry must be at least 8")
