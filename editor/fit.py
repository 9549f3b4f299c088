"""FitGauge: how well a face fits what the model can draw, in plain percent."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.contrastive import ContrastiveAligner
from stylegan2.generator import Generator
from stylegan2.image import from_uint8, shrink
from stylegan2.renderer import Renderer

SAMPLES = 16  # invented faces that the scale is set by
PSI = 0.7


class FitGauge:
    """The aligner's score of a picture against its w, as a share of what the model's own faces score.

    Args:
        aligner: Trained for `generator`.
        generator: Invents faces whose w is known.
        renderer: Draws them.
    """

    def __init__(self, aligner: ContrastiveAligner, generator: Generator, renderer: Renderer) -> None:
        self._aligner, self._generator, self._renderer = aligner.cpu().eval(), generator, renderer

    def __call__(self, crop: NDArray[np.uint8], w: Tensor) -> float:
        """Share in [0, 1]: 1 where picture and latent fit as well as the model's own.

        Args:
            crop: Aligned face [R, R, 3], R the generator's resolution.
            w: Its latent [1, w_dim].
        """
        score = self._score(torch.from_numpy(np.ascontiguousarray(crop))[None], w)
        return float((score / self._typical).clamp(0, 1))

    @cached_property
    def _typical(self) -> Tensor:
        w = self._generator.sample_w(SAMPLES, seed=0, truncation_psi=PSI).cpu()
        return self._score(self._renderer.render(w), w).median().clamp(min=0.05)

    @torch.inference_mode()
    def _score(self, pixels: Tensor, w: Tensor) -> Tensor:
        img = shrink(from_uint8(pixels), self._aligner.config.in_resolution)
        return self._aligner.score(img, w)
