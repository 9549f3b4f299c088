"""Identity of a face: ArcFace-style embeddings by MobileFaceNet, differentiable in the picture."""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from editor.measure.identity_crop import template_in_crop, warp_to_template
from stylegan2.bundle.folder import CropConfig
from train.losses.onnx_module import OnnxModule, load_onnx


class IdentityEmbedder(nn.Module):
    """img -> unit embedding: a fixed warp to the ArcFace crop, then a frozen face network.

    Args:
        network: [N, 3, 112, 112] in [-1, 1] to embeddings [N, D].
        crop_config: How the pictures were cut.
    """

    to_crop: Tensor

    def __init__(self, network: OnnxModule, crop_config: CropConfig) -> None:
        super().__init__()
        self.network = network.eval()
        self.register_buffer("to_crop", template_in_crop(crop_config).float())

    def forward(self, img: Tensor) -> Tensor:
        """Embed cropped faces.

        Args:
            img: Cropped square pictures [N, 3, R, R] in [-1, 1].

        Returns:
            Embeddings [N, D] of unit length: their inner product is the cosine similarity of two faces.

        Raises:
            ShapeError: `img` is not a batch of squares.
        """
        return F.normalize(self.network(warp_to_template(img, self.to_crop)), dim=1)


def load_identity(path: Path, crop_config: CropConfig) -> IdentityEmbedder:
    """Load MobileFaceNet (`mobilefacenet_id.onnx`).

    Args:
        path: The ONNX file.
        crop_config: How the pictures were cut, from the model's bundle.

    Raises:
        CheckpointError: The file is missing, damaged, or has operators beyond `train.losses.onnx_module`.
    """
    return IdentityEmbedder(load_onnx(path), crop_config)
