"""Where the networks that know faces expect them: the ArcFace crop, seen from a cropped picture."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from editor.face.ffhq import ffhq_square
from stylegan2.bundle.folder import CropConfig
from stylegan2.checks import check_shape
from stylegan2.image import shrink

CROP_SIDE = 112  # pixels, input of the ArcFace family
# Five-point template of the 112 px ArcFace crop (Deng et al. 2019, arXiv:1801.07698), x and y in pixels, the
# points at the image's left first; the nose is not needed.
TEMPLATE_EYES = ((38.2946, 51.6963), (73.5318, 51.5014))
TEMPLATE_MOUTH = ((41.5493, 92.3655), (70.7299, 92.2041))


def template_in_crop(crop_config: CropConfig) -> Tensor:
    """Similarity from the 112 px template to a crop.

    The crop's canonical eyes and mouth are those of the template: `ffhq_square` of the template's own points
    is the square that the crop occupies in the template's frame.

    Returns:
        Affine matrix [2, 3], float64: template position (x, y, 1) in pixels, integers at pixel centres, to
        crop position (u, v), where -1 and 1 are the crop's outer edges.
    """
    eyes, mouth = np.array(TEMPLATE_EYES), np.array(TEMPLATE_MOUTH).mean(0)
    square = ffhq_square(eyes[0], eyes[1], mouth, crop_config)
    rows = np.stack([square.x, square.y]) / np.square(square.x).sum()
    return torch.from_numpy(np.concatenate([rows, -(rows @ square.middle)[:, None]], 1))


def warp_to_template(img: Tensor, to_crop: Tensor) -> Tensor:
    """Bring cropped pictures to the ArcFace crop, reflecting what lies outside; differentiable.

    Args:
        img: Cropped square pictures [N, 3, R, R] in [-1, 1].
        to_crop: From `template_in_crop` [2, 3].

    Returns:
        [N, 3, 112, 112] in [-1, 1].

    Raises:
        ShapeError: `img` is not a batch of squares.
    """
    check_shape("img", img, "N", 3, img.shape[-1], img.shape[-1])
    # Picture pixels under one crop pixel; from two on they are averaged first, against aliasing.
    pitch = img.shape[3] * 0.5 * float(to_crop[0, :2].norm())
    if pitch >= 2:
        img = shrink(img, img.shape[3] // int(pitch))
    steps = torch.arange(CROP_SIDE, device=img.device, dtype=img.dtype)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1)  # [112, 112, 3]
    grid = (points @ to_crop.to(img.dtype).T)[None].expand(len(img), -1, -1, -1)
    return F.grid_sample(img, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
