import numpy as np
import pytest
import torch

from editor.face.crop import crop_face
from editor.face.landmarks import FaceDetector
from editor.parts.checkpoint import load_face_parser, save_face_parser
from editor.parts.labels import HEAD, Part
from editor.parts.network import GRID, SIDE, FaceParserNetwork
from editor.parts.parser import FaceParser, room_of_head
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import CheckpointError, ShapeError


@pytest.fixture(scope="module")
def parser():
    return FaceParser(engine="torch")


@pytest.fixture
def crop(astronaut):
    with FaceDetector() as detector:
        (face,) = detector.detect(astronaut)
    return crop_face(astronaut, face, CropConfig(scale=0.66, center=0.48), SIDE).crop


@pytest.mark.weights
def test_the_parts_of_a_face_are_where_they_are(parser, crop):
    parts = parser.parts(crop)
    assert parts.shape == (SIDE, SIDE)
    assert parts[150, 128] == Part.NOSE
    assert parts[100, 128] in (Part.SKIN, Part.NOSE)
    assert parts[8, 60] == Part.HAIR
    assert parts[150, 250] != Part.SKIN
    mouth = {int(part) for part in np.unique(parts[180:215, 100:160])}
    assert mouth & {Part.MOUTH, Part.UPPER_LIP, Part.LOWER_LIP}


@pytest.mark.weights
def test_shares_are_shares_and_the_head_is_their_sum(parser, crop):
    shares = parser.shares(crop)
    assert shares.shape == (len(Part), GRID, GRID)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-4)
    np.testing.assert_allclose(parser.head(crop), shares[list(HEAD)].sum(0), atol=1e-5)
    assert parser.head(crop)[GRID // 2, GRID // 2] > 0.99


def test_another_size_is_refused(parser):
    with pytest.raises(ShapeError, match="crop"):
        parser.head(np.zeros((128, 128, 3), np.uint8))


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def test_another_head_in_the_crop_is_left_alone():
    head = np.zeros((GRID, GRID), np.float32)
    head[30:100, 20:60] = 1  # the own face
    head[40:90, 90:120] = 1  # somebody behind
    own = box(0.2, 0.3, 0.42, 0.7)
    room = room_of_head(head, own, [])
    assert room[64, 40] == 1
    assert room[64, 105] < 0.01
    touching = head.copy()
    touching[60:70, 60:90] = 1  # now their hair hangs together
    assert room_of_head(touching, own, [])[64, 105] == 1
    other = box(0.7, 0.3, 0.95, 0.7)
    assert room_of_head(touching, own, [other])[64, 105] < 0.01


def test_there_is_room_for_a_head_to_grow():
    head = np.zeros((GRID, GRID), np.float32)
    head[40:90, 40:90] = 1
    room = room_of_head(head, box(0.35, 0.35, 0.65, 0.65), [])
    assert room[64, 98] == 1
    assert room[64, 120] == 0


def test_the_file_holds_the_network(tmp_path):
    network = FaceParserNetwork().eval()
    save_face_parser(network, tmp_path / "p.safetensors")
    again = load_face_parser(tmp_path / "p.safetensors")
    img = torch.rand(1, 3, 64, 64) * 2 - 1
    assert network(img).shape == (1, len(Part), 32, 32)
    torch.testing.assert_close(network(img), again(img), atol=0.02, rtol=0.02)
    with pytest.raises(CheckpointError):
        load_face_parser(tmp_path / "none.safetensors")
    network.outlet.bias.data[0] = float("inf")
    save_face_parser(network, tmp_path / "p.safetensors")
    with pytest.raises(CheckpointError, match=r"outlet\.bias"):
        load_face_parser(tmp_path / "p.safetensors")


def test_it_is_small():
    assert sum(value.numel() for value in FaceParserNetwork().parameters()) < 2_000_000
