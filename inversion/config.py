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
        if self.in_resolution < 32 or self.in_resolution % 32:
            raise ConfigError(f"in_resolution: {self.in_resolution}; must be a positive multiple of 32")
        for name, values in (("channels", self.channels), ("depths", self.depths)):
            if min(values) < 1:
                raise ConfigError(f"{name}: {list(values)}; every entry must be at least 1")
        if min(self.channels) < 8:
            raise ConfigError(f"channels: {list(self.channels)}; every entry must be at least 8")
