import numpy as np
import pytest
import torch

from editor.fit import FitGauge
from inversion.config import AlignerConfig
from inversion.contrastive import ContrastiveAligner
from stylegan2.image import to_uint8
from stylegan2.renderer import Renderer


class _Known(ContrastiveAligner):
    """Scores as told: 0.8 for the model's own faces, and `now` for the next picture alone."""

    now = 0.4

    def score(self, img, w):
        return torch.full((len(img),), 0.8 if len(img) > 1 else self.now)


@pytest.fixture
def config():
    return AlignerConfig(in_resolution=32, w_dim=32, channels=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1))


@pytest.mark.parametrize(("score", "share"), [(0.4, 0.5), (0.8, 1.0), (0.95, 1.0), (-0.3, 0.0)])
def test_the_share_is_relative_to_the_models_own_faces(tiny_generator, config, score, share):
    aligner = _Known(config)
    aligner.now = score
    gauge = FitGauge(aligner, tiny_generator, Renderer(tiny_generator, engine="torch"))
    crop = np.zeros((32, 32, 3), np.uint8)
    assert gauge(crop, torch.zeros(1, 32)) == pytest.approx(share)


def test_a_real_aligner_is_asked_about_picture_and_latent(tiny_generator, config):
    gauge = FitGauge(ContrastiveAligner(config), tiny_generator, Renderer(tiny_generator, engine="torch"))
    w = tiny_generator.sample_w(2, seed=3)
    crop = to_uint8(tiny_generator.synthesis(tiny_generator.broadcast(w)))[0].numpy()
    assert 0 <= gauge(crop, w[:1]) <= 1
    assert gauge._score(torch.from_numpy(crop)[None], w[:1]) != gauge._score(
        torch.from_numpy(crop)[None], w[1:]
    )
