import numpy as np
import pytest
import torch
import yaml

from stylegan2.bundle.content import Content, content_of_size
from stylegan2.bundle.conversion import CARS, convert_file
from stylegan2.bundle.folder import BUNDLE_FILE, CropConfig, read_bundle, save_bundle
from stylegan2.errors import CheckpointError, ConfigError
from tests.helpers import published_files as files

WIDE = Content(height=0.75)


def saved(folder, generator, filled=None, **changes):
    save_bundle(folder, generator, name="toy", crop_config=CropConfig(), licence="none", content=filled)
    listing = yaml.safe_load((folder / BUNDLE_FILE).read_text())
    listing = {key: value for key, value in {**listing, **changes}.items() if value is not None}
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump(listing))
    return folder


@pytest.mark.parametrize("content", [None, Content(), WIDE, Content(width=0.5)])
def test_a_bundle_says_what_its_pictures_are(tiny_generator, tmp_path, content):
    assert read_bundle(saved(tmp_path, tiny_generator, content)).content == content


def test_pictures_fill_the_square_and_need_no_place_of_a_face_unless_they_say_so(tiny_generator, tmp_path):
    bundle = read_bundle(saved(tmp_path, tiny_generator, domain="pictures", crop=None))
    assert bundle.content == Content()
    assert bundle.content.whole


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domain": "cars"}, "must be faces or pictures"),
        ({"domain": ["pictures"]}, "must be faces or pictures"),
        ({"content": [32, 24]}, "only pictures"),
        ({"domain": "pictures", "content": [32]}, r"\[width, height\]"),
        ({"domain": "pictures", "content": [24, 24]}, "longer side must be the model's 32"),
        ({"domain": "pictures", "content": [64, 32]}, "longer side must be the model's 32"),
        ({"domain": "pictures", "content": [32, 0]}, "from 1"),
        ({"domain": "pictures", "content": [32, 24.0]}, "whole numbers"),
        ({"domain": "faces", "crop": None}, "KeyError"),
    ],
)
def test_what_a_bundle_says_of_its_pictures_is_checked(tiny_generator, tmp_path, changes, words):
    folder = saved(tmp_path, tiny_generator, **changes)
    with pytest.raises(CheckpointError, match=words):
        read_bundle(folder)


def test_the_content_is_cut_out_of_its_square_and_the_rest_is_black():
    square = np.random.default_rng(0).integers(1, 256, (32, 32, 3), np.uint8)
    assert WIDE.cut(square).shape == (24, 32, 3)
    np.testing.assert_array_equal(WIDE.cut(square), square[4:28])
    black = WIDE.on_black(square)
    np.testing.assert_array_equal(black[4:28], square[4:28])
    assert not black[:4].any()
    assert not black[28:].any()
    assert Content().cut(square) is square
    assert Content().on_black(square) is square


def test_corners_of_the_content_lie_where_its_pixels_are():
    corners = WIDE.to_square @ np.array([[0, 1], [0, 1], [1, 1]])
    np.testing.assert_allclose(corners[:2].T, [[0, 4 / 32], [1, 28 / 32]])
    assert content_of_size(24, 32, 32) == Content(width=0.75)


@pytest.mark.parametrize(
    ("dataset", "pictures", "content"),
    [
        ("ffhq_encode_inversion", None, None),
        ("cars_encode_inversion", None, CARS),
        ("ffhq_encode_inversion", (32, 16), Content(height=0.5)),
    ],
)
def test_a_file_that_was_trained_on_cars_gives_a_model_of_pictures(tmp_path, dataset, pictures, content):
    encoder = files.filled(files.toy_shapes("clcae"))
    whole = files.tree("clcae", encoder, files.toy_generator())
    whole["opts"] = {**files.OPTS["clcae"], "dataset_type": dataset}
    torch.save(whole, tmp_path / "model.pt")
    convert_file(tmp_path / "model.pt", tmp_path / "bundle", pictures=pictures)
    assert read_bundle(tmp_path / "bundle").content == content


def test_pictures_larger_than_the_generator_are_refused(tmp_path):
    torch.save(
        files.tree("psp", files.filled(files.toy_shapes("psp")), files.toy_generator()), tmp_path / "a.pt"
    )
    with pytest.raises(ConfigError, match="512 x 384 px; the longer side must be the model's 32"):
        convert_file(tmp_path / "a.pt", tmp_path / "bundle", pictures=(512, 384))
