import numpy as np
import pytest

from editor.measure.attribute_network import load_attributes
from editor.measure.texture import tear_of, texture_of, texture_statistics


def test_distances_count_in_deviations_of_the_faces():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    faces = rng.normal(size=(4000, 6)) @ mixing + 5
    texture = texture_of(faces)
    assert np.mean(texture.distances(faces) <= texture.limit) == pytest.approx(0.9, abs=0.001)
    assert np.median(texture.distances(rng.normal(size=(500, 6)) @ mixing + 5)) < texture.limit
    assert texture.distances(faces.mean(0)[None])[0] == pytest.approx(0, abs=1e-6)
    assert texture.distances(faces.mean(0)[None] + 20 * mixing[0])[0] > 2 * texture.limit


@pytest.mark.weights
def test_blotches_and_noise_are_told_from_faces(astronaut):
    network, rng = load_attributes(), np.random.default_rng(0)
    boxes = [
        (40 + a, 150 + b, 150 + c) for a in range(0, 20, 4) for b in range(0, 20, 4) for c in range(0, 20, 8)
    ]
    faces = np.stack([astronaut[y : y + side : 1, x : x + side][:128, :128] for y, x, side in boxes])
    assert texture_statistics(network, faces).shape == (len(boxes), 128)
    texture = texture_of(texture_statistics(network, faces))
    noisy = np.clip(faces[:3].astype(int) + rng.normal(0, 60, faces[:3].shape), 0, 255).astype(np.uint8)
    purple = faces[:3].copy()
    purple[:, 30:70, 30:90] = [160, 40, 190]
    for torn in (noisy, purple):
        assert np.median(tear_of(network, texture, torn)) > 1.5
    assert np.median(tear_of(network, texture, faces)) <= 1
