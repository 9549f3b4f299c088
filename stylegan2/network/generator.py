"""Generator: mapping and synthesis together."""

import torch
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.mapping import MappingNetwork
from stylegan2.network.synthesis import SynthesisNetwork


class Generator(nn.Module):
    """z -> w -> ws -> img."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    @property
    def img_resolution(self) -> int:
        """Side of the picture in pixels."""
        return self.config.img_resolution

    @property
    def z_dim(self) -> int:
        """Width of the input latent."""
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        """Width of a style."""
        return self.config.w_dim

    @property
    def num_ws(self) -> int:
        """Number of per-layer styles."""
        return self.config.num_ws

    @property
    def w_avg(self) -> Tensor:
        """Mean of W [w_dim]."""
        return self.mapping.w_avg

    def broadcast(self, w: Tensor) -> Tensor:
        """Use one style for every layer: w [N, w_dim] -> ws [N, num_ws, w_dim]."""
        check_shape("w", w, "N", self.w_dim)
        return w[:, None].expand(-1, self.num_ws, -1)

    def sample_w(self, count: int, *, seed: int, truncation_psi: float = 1.0) -> Tensor:
        """`count` latents w [count, w_dim] of unit normal z, the same for the same seed on every machine."""
        z = torch.randn(count, self.z_dim, generator=torch.Generator().manual_seed(seed))
        w: Tensor = self.mapping(z.to(self.w_avg), truncation_psi=truncation_psi)
        return w

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0, noise_mode: str = "const") -> Tensor:
        """Sample: z [N, z_dim], unit normal -> img [N, 3, R, R], about [-1, 1]."""
        w = self.mapping(z, truncation_psi=truncation_psi)
        img: Tensor = self.synthesis(self.broadcast(w), noise_mode=noise_mode)
        return img
