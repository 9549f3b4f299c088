"""Settings of the inversion networks."""

from dataclasses import dataclass

from stylegan2.errors import ConfigError


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


@dataclass(frozen=True, kw_only=True)
class AlignerConfig:
    """Architecture of a `ContrastiveAligner`."""

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


def _check_backbone(in_resolution: int, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
    if in_resolution < 32 or in_resolution % 32:
        raise ConfigError(f"in_resolution: {in_resolution}; must be a positive multiple of 32")
    for name, values in (("channels", channels), ("depths", depths)):
        if min(values) < 1:
            raise ConfigError(f"{name}: {list(values)}; every entry must be at least 1")
    if min(channels) < 8:
        raise ConfigError(f"channels: {list(channels)}; every entry must be at least 8")
