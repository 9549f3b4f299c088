"""FitGauge: how well a face fits what the model can draw, in plain percent, and what speaks against it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editor.face.landmarks import FaceDetector
from editor.measure.detail import detail_slopes
from inversion.networks.contrastive import ContrastivePair
from stylegan2.engines.renderer import Renderer
from stylegan2.image import from_uint8, shrink
from stylegan2.network.generator import Generator

SAMPLES = 16  # invented faces that the scale is set by
PSI = 0.7
_LOOKED_AT = 5  # of them, to tell whether the model draws faces at all
_NO_FACE = 0.1  # of the gauge is left where the detector finds no face at all
# Scores of the detector: above its own limit, by which a cup is a face, and what most cropped faces exceed.
_UNSURE, _SURE = 0.55, 0.8
_LEAST_SHARP = 25  # percent of the own faces that may be softer than typical
_SHARPER = 1 / 4  # power of sharpness beyond typical
_GRAIN = 2.0  # times as sharp as typical is all that counts; what is sharper is grain
_REASON_BELOW = 0.8  # a factor above is no reason worth telling


@dataclass(frozen=True)
class Fit:
    """What the gauge shows."""

    share: float  # 0..1; 1 is a face as good as the model's own
    reason: str  # what lowers it most, in few words; empty where nothing does much


class FitGauge:
    """How well a cropped face fits the model: what the contrastive pair says, times what speaks against it.

        share = likeness * sharpness * pixels * room * face, at most 1

    `likeness`: the contrastive pair's score of the picture against its w, as a share of what the model's own
    faces score in the median. Alone it also praises blurred pictures, and a flat grey one. `sharpness`: the
    product of min(r, r^(1/4), 2^(1/4)) over the finest octaves, r an octave's `detail_slopes` as a share of
    what three of four of the model's own faces exceed; it rises beyond 1, as the least blur raises the
    likeness. `pixels` = 1 / max(1, enlargement). `room` = (1 - padded)^2. `face` rises from a tenth, where
    MediaPipe is sure of no face in the crop by 0.55 or more, to 1 where it is by 0.8; a model that draws
    something else than faces goes without.

    Args:
        contrastive: Trained for `generator`.
        generator: Invents faces whose w is known.
        renderer: Draws them.
        detector: Tells whether a crop shows a face.
    """

    def __init__(
        self, contrastive: ContrastivePair, generator: Generator, renderer: Renderer, detector: FaceDetector
    ) -> None:
        self._contrastive, self._generator, self._renderer = contrastive.cpu().eval(), generator, renderer
        self._detector = detector

    def __call__(
        self, crop: NDArray[np.uint8], w: Tensor, *, enlargement: float = 1.0, padded: float = 0.0
    ) -> Fit:
        """Judge one face; 1 where it is as good as the model's own.

        Args:
            crop: Cropped face [R, R, 3], R the generator's resolution.
            w: Its latent [1, w_dim].
            enlargement: Crop px per photo px, above 0; 1 where there is no photo.
            padded: Part of the crop that lies outside the photo, 0..1.
        """
        score = float(self._score(torch.from_numpy(np.ascontiguousarray(crop))[None], w)[0])
        typical_score, typical_slopes, faces = self._typical
        sharpness = _sharpness(detail_slopes(crop) / typical_slopes)
        certainty = (self._detector.certainty(crop) - _UNSURE) / (_SURE - _UNSURE) if faces else 1.0
        against = {
            "no clear face": _NO_FACE + (1 - _NO_FACE) * min(max(certainty, 0.0), 1.0),
            "outside the photo": (1 - padded) ** 2,
            "few pixels": 1 / max(enlargement, 1.0),
            "blurred": sharpness,
            "unlike the model's faces": max(score, 0.0) / typical_score,
        }
        share = math.prod(against.values())
        reason = min(against, key=lambda name: against[name])
        return Fit(min(share, 1.0), reason if against[reason] < _REASON_BELOW else "")

    @cached_property
    def _typical(self) -> tuple[float, NDArray[np.float64], bool]:
        """Of the own pictures: the median score, slopes [n] that most exceed, and whether they are faces."""
        w = self._generator.sample_w(SAMPLES, seed=0, truncation_psi=PSI).cpu()
        pixels = self._renderer.render(w)
        slopes = np.percentile([detail_slopes(face) for face in pixels.numpy()], _LEAST_SHARP, axis=0)
        sure = np.median([self._detector.certainty(face) for face in pixels.numpy()[:_LOOKED_AT]])
        score = max(float(np.median(self._score(pixels, w).numpy())), 0.05)
        return score, np.maximum(slopes, 1e-3), bool(sure > _UNSURE)

    @torch.inference_mode()
    def _score(self, pixels: Tensor, w: Tensor) -> Tensor:
        img = shrink(from_uint8(pixels), self._contrastive.config.in_resolution)
        return self._contrastive.score(img, w)


def _sharpness(relative: NDArray[np.float64]) -> float:
    return float(np.minimum(relative, np.minimum(relative, _GRAIN) ** _SHARPER).prod())
