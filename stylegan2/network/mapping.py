"""MappingNetwork: z -> w."""

import torch
from torch import Tensor, nn

from stylegan2.checks import check_shape
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.layers import FullyConnectedLayer


class MappingNetwork(nn.Module):
    """z -> w: normalise, then `mapping_layers` fully connected layers (arXiv:1812.04948, Fig. 1)."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.z_dim = config.z_dim
        self.num_layers = config.mapping_layers
        for i in range(self.num_layers):
            width = config.z_dim if i == 0 else config.w_dim
            layer = FullyConnectedLayer(
                width, config.w_dim, activate=True, lr_multiplier=config.mapping_lr_multiplier
            )
            setattr(self, f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0) -> Tensor:
        """Map latents to the foundation space.

        Args:
            z: [N, z_dim], unit normal.
            truncation_psi: 1 keeps w, 0 gives the mean: `w_avg + psi * (w - w_avg)`.

        Returns:
            w [N, w_dim].

        Raises:
            ShapeError: `z` has another shape.
        """
        check_shape("z", z, "N", self.z_dim)
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return self.w_avg.lerp(x, truncation_psi)
