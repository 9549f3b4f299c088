"""Architecture of a StyleGAN2 generator."""

from dataclasses import dataclass, field

from stylegan2.errors import ConfigError


def default_channels(img_resolution: int, channel_base: int = 8192, channel_max: int = 512) -> dict[int, int]:
    """Feature maps per resolution r = 4, 8, ..., `img_resolution`: `min(channel_base / r, channel_max)`."""
    sizes = [2**i for i in range(2, img_resolution.bit_length())]
    return {r: min(channel_base // r, channel_max) for r in sizes}


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Everything that a generator computes by, its tensors aside."""

    img_resolution: int  # pixels a side, a power of two, 32 to 1024
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01  # learning rate multiplier that the mapping's weights are stored with
    channels: dict[int, int] = field(
        default_factory=dict
    )  # resolution -> feature maps; empty: `default_channels`
    # Activations and colours stay within +-conv_clamp, as in NVIDIA's half precision; None: without a limit.
    conv_clamp: float | None = None
    # The resolution at which latents were learnt; blocks above were grown later and have no styles of their
    # own, see `rows`. None: nothing was grown.
    grown_from: int | None = None

    def __post_init__(self) -> None:
        r = self.img_resolution
        if not 32 <= r <= 1024 or r & (r - 1):
            raise ConfigError(f"img_resolution: {r}; must be a power of two from 32 to 1024")
        for name in ("z_dim", "w_dim", "mapping_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}; must be at least 1")
        if self.conv_clamp is not None and not 0 < self.conv_clamp < float("inf"):
            raise ConfigError(f"conv_clamp: {self.conv_clamp}; must be a positive number, or none")
        if self.grown_from is not None and self.grown_from not in default_channels(r // 2):
            raise ConfigError(f"grown_from: {self.grown_from}; must be a resolution below {r}, or none")
        if not self.channels:
            object.__setattr__(self, "channels", default_channels(r))
        wanted = sorted(default_channels(r))
        if sorted(self.channels) != wanted or min(self.channels.values()) < 1:
            raise ConfigError(f"channels: {self.channels}; must give a positive width for each of {wanted}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the synthesis blocks: 4, 8, ..., `img_resolution`."""
        return tuple(sorted(self.channels))

    @property
    def base_resolution(self) -> int:
        """Side in pixels of the pictures that latents were learnt of: `grown_from`, or `img_resolution`."""
        return self.grown_from or self.img_resolution

    @property
    def num_ws(self) -> int:
        """Number of per-layer styles: two per block; blocks share their ToRGB's with the next conv0."""
        return 2 * len(default_channels(self.base_resolution))

    def rows(self, resolution: int) -> tuple[int, ...]:
        """Which styles a block takes: for conv0, conv1 and ToRGB; at 4 x 4 there is no conv0.

        Of a grown block all are that of the last convolution below: no inversion and no edit knows others.
        """
        if resolution == 4:
            return 0, 1
        if resolution > self.base_resolution:
            return (self.num_ws - 2,) * 3
        first = 2 * self.resolutions.index(resolution) - 1
        return first, first + 1, first + 2
