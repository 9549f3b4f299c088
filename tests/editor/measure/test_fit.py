"""FitGauge: honest about what is enlarged, blurred, padded, or no face at all."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from editor.face.crop import crop_face
from editor.measure.detail import OCTAVES, detail_slopes
from editor.measure.fit import Fit, FitGauge
from editor.pipeline import open_editor
from inversion.networks.config import ContrastivePairConfig
from inversion.networks.contrastive import ContrastivePair
from stylegan2.engines.renderer import Renderer


class Scores(ContrastivePair):
    """Scores as told: 0.8 for the model's own faces, and `now` for the next picture alone."""

    now = 0.4

    def score(self, img, w):
        return torch.full((len(img),), 0.8 if len(img) > 1 else self.now)


class Certain:
    """Stands in for FaceDetector: as certain of any crop as told."""

    def __init__(self, certainty=1.0):
        self.now = certainty

    def certainty(self, crop):
        return self.now


CONFIG = ContrastivePairConfig(in_resolution=32, w_dim=32, channels=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1))
W = torch.zeros(1, 32)


@pytest.fixture
def contrastive():
    return Scores(CONFIG)


@pytest.fixture
def gauge(tiny_generator, contrastive):
    return FitGauge(contrastive, tiny_generator, Renderer(tiny_generator, engine="torch"), Certain())


@pytest.fixture
def sharp(tiny_generator):
    """One of the model's own faces."""
    ws = tiny_generator.broadcast(tiny_generator.sample_w(1, seed=0, truncation_psi=0.7))
    return Renderer(tiny_generator, engine="torch").render(ws)[0].numpy()


def test_the_share_follows_the_contrastive_pairs_score(gauge, contrastive, sharp):
    shares = []
    for contrastive.now in (-0.3, 0.1, 0.2, 0.4):
        shares.append(gauge(sharp, W).share)
    assert shares[0] == 0
    assert shares[2] == pytest.approx(2 * shares[1])
    assert shares[3] == pytest.approx(4 * shares[1])
    contrastive.now = 0.95
    assert gauge(sharp, W).share == 1
    assert gauge(sharp, W).reason == ""


def test_enlargement_padding_and_doubt_each_lower_it_and_are_named(tiny_generator, gauge, contrastive, sharp):
    whole = gauge(sharp, W).share
    enlarged = [gauge(sharp, W, enlargement=times) for times in (1.0, 1.5, 2.0, 4.0)]
    padded = [gauge(sharp, W, padded=part) for part in (0.0, 0.1, 0.3, 0.6, 1.0)]
    for fits in (enlarged, padded):
        assert fits[0].share == whole
        assert all(b.share < a.share for a, b in pairwise(fits))
    assert padded[-1].share == 0
    contrastive.now = 0.8
    detector = Certain()
    other = FitGauge(contrastive, tiny_generator, Renderer(tiny_generator, engine="torch"), detector)
    assert other(sharp, W).share > 0.9  # its own faces are seen by now
    detector.now = 0.0
    doubtful = other(sharp, W)
    assert 0 < doubtful.share < 0.2
    assert doubtful.reason == "no clear face"
    assert gauge(sharp, W, enlargement=4).reason == "few pixels"
    assert gauge(sharp, W, padded=0.5).reason == "outside the photo"
    assert gauge(np.full((32, 32, 3), 90, np.uint8), W) == Fit(0.0, "blurred")
    contrastive.now = 0.3
    assert gauge(sharp, W).reason == "unlike the model's faces"
    assert gauge(sharp, W, enlargement=0.2) == gauge(sharp, W)  # more photo pixels than needed gain nothing


def test_a_real_contrastive_pair_is_asked_about_picture_and_latent(tiny_generator, sharp):
    renderer = Renderer(tiny_generator, engine="torch")
    contrastive = ContrastivePair(CONFIG)
    w = tiny_generator.sample_w(8, seed=3)
    contrastive.w_std.fill_(0.1)
    gauge = FitGauge(contrastive, tiny_generator, renderer, Certain())
    shares = {gauge(crop, each[None]).share for crop in (sharp, sharp[::-1].copy()) for each in w}
    assert all(0 <= share <= 1 for share in shares)
    assert len(shares) > 2


def test_fine_detail_falls_with_blur_and_ignores_contrast():
    face = cv2.resize(skimage.data.astronaut()[60:190, 160:290], (128, 128), interpolation=cv2.INTER_AREA)
    slopes = [
        detail_slopes(face),
        *(detail_slopes(cv2.GaussianBlur(face, (0, 0), s)) for s in (1, 2, 4)),
    ]
    assert all(len(each) == OCTAVES for each in slopes)
    assert all(b.prod() < a.prod() for a, b in pairwise(slopes))
    assert (slopes[1] < slopes[0]).all()
    pale = (face * 0.5 + 100).round().astype(np.uint8)
    np.testing.assert_allclose(detail_slopes(pale), slopes[0], rtol=0.05)
    assert (detail_slopes(np.full((128, 128, 3), 90, np.uint8)) == 0).all()
    assert len(detail_slopes(face[:32, :32].copy())) == 3


@pytest.fixture(scope="module")
def editor():
    opened = open_editor(engine="torch")
    with opened.detector:
        yield opened


@pytest.fixture(scope="module")
def astronaut_crop(editor):
    return editor.invert(skimage.data.astronaut()).crop


def shares(editor, crops):
    return [editor.fit(editor.invert_crop(crop)).share for crop in crops]


@pytest.mark.weights
def test_a_good_portrait_and_the_models_own_faces_fit(editor, astronaut_crop):
    assert np.median([editor.fit(editor.sample(seed)).share for seed in range(40, 46)]) > 0.93
    assert shares(editor, [astronaut_crop])[0] > 0.6


@pytest.mark.weights
def test_it_falls_as_one_photo_is_blurred(editor, astronaut_crop):
    blurred = [cv2.GaussianBlur(astronaut_crop, (0, 0), sigma) for sigma in (0.5, 1, 2, 4)]
    found = shares(editor, [astronaut_crop, *blurred])
    assert all(b < a for a, b in pairwise(found))
    assert found[-1] < 0.3


@pytest.mark.weights
def test_it_falls_as_one_photo_is_enlarged(editor):
    photo, found = skimage.data.astronaut(), []
    (face,) = editor.detector.detect(photo)
    for times in (1, 2, 4, 8):
        small = cv2.resize(photo, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
        cropped = crop_face(small, replace(face, points=face.points / times), editor.crop_config, 128)
        session = editor.invert_crop(cropped.crop)
        session = replace(session, transform=cropped.transform, padded=cropped.padded)
        found.append(editor.fit(session))
        assert session.enlargement == pytest.approx(1.1055 * times, rel=1e-3)
    assert all(b.share < a.share for a, b in pairwise(found))
    assert found[2].share < 0.3
    assert [fit.reason for fit in found[1:3]] == ["few pixels", "few pixels"]
    enlarged = [
        cv2.resize(cv2.resize(crop, (128 // times, 128 // times)), (128, 128), interpolation=cv2.INTER_CUBIC)
        for crop in [editor.invert(photo).crop]
        for times in (1, 2, 4, 8)
    ]
    found = shares(editor, enlarged)  # by somebody else, so that only the pixels tell
    assert all(b < a for a, b in pairwise(found))


@pytest.mark.weights
def test_it_falls_as_more_of_one_photo_is_missing(editor):
    photo = skimage.data.astronaut()
    (face,) = editor.detector.detect(photo)
    quad = crop_face(photo, face, editor.crop_config, 128).quad
    top, bottom, found = quad[:, 1].min(), quad[:, 1].max(), []
    for part in (0, 0.1, 0.2, 0.4, 0.6):
        cut = np.ascontiguousarray(photo[: round(bottom - part * (bottom - top))])
        cropped = crop_face(cut, face, editor.crop_config, 128)
        session = editor.invert_crop(cropped.crop)
        found.append(editor.fit(replace(session, transform=cropped.transform, padded=cropped.padded)))
    assert all(b.share < a.share for a, b in pairwise(found))
    assert found[-1].share < 0.2


@pytest.mark.weights
def test_no_face_fits_hardly_at_all(editor):
    rng = np.random.default_rng(0)
    cloudy = cv2.GaussianBlur(rng.normal(size=(128, 128, 3)), (0, 0), 8)
    pictures = [
        rng.integers(0, 256, (128, 128, 3), dtype=np.uint8),
        cv2.normalize(cloudy, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8),
        np.full((128, 128, 3), 128, np.uint8),
        np.repeat(cv2.resize(skimage.data.grass(), (128, 128))[..., None], 3, axis=2),
        cv2.resize(skimage.data.coffee()[:400, :400], (128, 128), interpolation=cv2.INTER_AREA),
    ]
    assert max(shares(editor, pictures)) < 0.2


@pytest.mark.weights
def test_a_photo_passes_its_facts_on_to_the_gauge(editor):
    session = editor.invert(np.ascontiguousarray(skimage.data.astronaut()[:165]))
    assert session.padded == pytest.approx(0.1, abs=0.09)
    assert session.padded > 0
    judged = []
    gauge, editor.gauge = editor.gauge, lambda crop, w, **facts: judged.append(facts)
    try:
        editor.fit(session)
    finally:
        editor.gauge = gauge
    assert judged == [{"enlargement": session.enlargement, "padded": session.padded}]


def test_a_model_of_something_else_than_faces_is_not_asked_for_one(tiny_generator, contrastive, sharp):
    contrastive.now = 0.8
    renderer = Renderer(tiny_generator, engine="torch")
    never, always = (FitGauge(contrastive, tiny_generator, renderer, Certain(sure)) for sure in (0.0, 1.0))
    assert never(sharp, W) == always(sharp, W)
    assert never(sharp, W).share > 0.9
