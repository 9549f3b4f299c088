"""SynthesisNetwork: ws -> img."""

import torch
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.config import GeneratorConfig
from stylegan2.errors import ConfigError
from stylegan2.layers import NOISE_MODES, SynthesisLayer, ToRGBLayer
from stylegan2.ops.upfirdn2d import upsample2d


class SynthesisBlock(nn.Module):
    """One resolution: an upsampling convolution (not at 4 x 4), a convolution and the RGB skip."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.first = resolution == 4
        if self.first:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=True)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution)
        self.torgb = ToRGBLayer(out_channels, w_dim)
        self.num_convs = 1 if self.first else 2

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise_mode: str
    ) -> tuple[Tensor, Tensor]:
        """Next activation and picture.

        Args:
            x: Activation of the block below [N, I, R/2, R/2]; None at 4 x 4.
            img: Picture of the block below [N, 3, R/2, R/2]; None at 4 x 4.
            ws: Styles of conv0, conv1 and ToRGB (conv1 and ToRGB at 4 x 4) [N, 2 or 3, w_dim].
            noise_mode: See `SynthesisLayer`.

        Returns:
            Activation [N, O, R, R] and picture [N, 3, R, R].
        """
        if x is None or img is None:
            x = self.conv1(self.const.expand(ws.shape[0], -1, -1, -1), ws[:, 0], noise_mode)
            return x, self.torgb(x, ws[:, 1])
        x = self.conv0(x, ws[:, 0], noise_mode)
        x = self.conv1(x, ws[:, 1], noise_mode)
        return x, upsample2d(img) + self.torgb(x, ws[:, 2])


class SynthesisNetwork(nn.Module):
    """ws -> img with skip connections (Karras et al. 2020, arXiv:1912.04958, Fig. 7b)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for below, resolution in zip((0, *config.resolutions), config.resolutions, strict=False):
            block = SynthesisBlock(
                config.channels.get(below, 0), config.channels[resolution], config.w_dim, resolution
            )
            setattr(self, f"b{resolution}", block)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks from 4 x 4 up."""
        return [getattr(self, f"b{r}") for r in self.config.resolutions]

    def forward(self, ws: Tensor, *, noise_mode: str = "const") -> Tensor:
        """Render styles.

        Args:
            ws: One style per layer [N, num_ws, w_dim].
            noise_mode: "const" (stored), "random" (fresh), or "none".

        Returns:
            img [N, 3, img_resolution, img_resolution], about [-1, 1], not clamped.

        Raises:
            ShapeError: `ws` has another shape.
            ConfigError: `noise_mode` is not one of the three.
        """
        check_shape("ws", ws, "N", self.config.num_ws, self.config.w_dim)
        if noise_mode not in NOISE_MODES:
            raise ConfigError(f"noise_mode: {noise_mode!r}; must be one of {', '.join(NOISE_MODES)}")
        x: Tensor | None = None
        img: Tensor | None = None
        first = 0
        for block in self.blocks:
            x, img = block(x, img, ws[:, first : first + block.num_convs + 1], noise_mode)
            first += block.num_convs
        if img is None:
            raise ConfigError("synthesis network without blocks")
        return img
