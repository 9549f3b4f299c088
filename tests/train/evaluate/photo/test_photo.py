import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.instruments import middle, redness
from train.evaluate.config import EvaluateConfig
from train.evaluate.photo.edits import Instruments, measure_photo_edits
from train.evaluate.photo.measures import doubled_contours, fine_detail, seam
from train.evaluate.photo.report import report_photo_edits


def outline(x=32, width=3):
    """A dark ring on grey."""
    canvas = np.full((64, 64, 3), 180, np.uint8)
    cv2.circle(canvas, (x, 32), 18, (40, 40, 40), width)
    return canvas


def test_a_doubled_contour_is_found_and_a_moved_one_less():
    truth = outline(32)
    assert doubled_contours(truth, truth) == 0
    ghost = (outline(32).astype(float) + outline(42)) / 2
    assert doubled_contours(ghost.astype(np.uint8), truth) > 0.2
    slightly = doubled_contours(outline(33), truth)
    assert slightly < 0.05
    assert doubled_contours(outline(32), np.full_like(truth, 180)) == 1
    assert doubled_contours(np.full_like(truth, 180), truth) == 0


def test_fine_detail_falls_with_blur():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (96, 96, 3), np.uint8)
    soft = cv2.GaussianBlur(sharp, (0, 0), 2)
    assert fine_detail(soft) < 0.2 * fine_detail(sharp)
    assert fine_detail(np.full((96, 96, 3), 99, np.uint8)) < 1e-3


def test_a_seam_is_seen_where_the_edit_ends():
    rng = np.random.default_rng(0)
    photo = rng.integers(100, 140, (64, 64, 3)).astype(np.uint8)
    region = np.zeros((64, 64), np.float32)
    region[:, 34:] = 1
    region[:, 30:34] = 0.5
    assert seam(photo, photo, region) == pytest.approx(1)
    hard = photo.copy()
    hard[:, 32:] += 90
    assert seam(photo, hard, region) > 2
    assert seam(photo, hard, np.ones((64, 64), np.float32)) == 1


def test_photos_and_invented_faces_are_measured(work):
    subject, painter = work
    photos = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    counted = []
    found = measure_photo_edits(
        subject,
        painter,
        photos,
        Instruments(measure_face=redness, outline=middle, identity=None),
        true_faces=2,
        spaces=("w", "f"),
        count=counted.append,
    )
    assert sum(counted) == 4
    assert set(found["real"]) == set(found["truth"]) == {"w", "f", "f drawn"}
    for way in found["truth"].values():
        assert way["psnr_median"] > 5
        assert 0 <= way["contours_median"] <= 1
        assert way["identity_median"] == "n/a"
    for way in found["real"].values():
        assert set(way["by_edit"]) == {"smile", "age"}
        assert all(math.isfinite(each["kept"]) for each in way["by_edit"].values())
        assert way["detail_mean"] > 0
    assert (
        found["real"]["f"]["detail_mean"] > 2 * found["real"]["f drawn"]["detail_mean"]
    )  # the photo's grain
    assert set(found["steady"]) == {"step", "starts", "smile", "age"}
    for name in ("smile", "age"):
        assert found["steady"][name]["psnr_median"] > 20
        assert found["steady"][name]["own_psnr_median"] > 20


def test_a_photo_without_a_face_is_left_out(work):
    subject, painter = work
    photos = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8)
    nobody = Instruments(measure_face=redness, outline=lambda crop: None, identity=None)
    found = measure_photo_edits(subject, painter, photos, nobody, true_faces=1, spaces=("f",))
    assert found["real"] == {}


def test_what_cannot_be_measured_is_said_in_words(work, tmp_path):
    subject, _ = work
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "small.png")
    config = EvaluateConfig(data=str(tmp_path), metrics_dir=tmp_path, engine="torch")
    found = report_photo_edits(subject, config, None)
    assert found["photo"] == "n/a"
    assert "64 x 64 pixels; expected a cropped square of at least 256 a side" in found["photo_reason"]
    Image.new("RGB", (256, 256), "grey").save(tmp_path / "small.png")
    found = report_photo_edits(subject, config, None)
    assert "age-v1.onnx: no such file" in found["photo_reason"]
    plain = {name: replace(edit, effects={}) for name, edit in subject.directions.items()}
    unknown = replace(subject, directions=type(subject.directions)(plain))
    assert (
        "no directions whose effects are known" in report_photo_edits(unknown, config, None)["photo_reason"]
    )
