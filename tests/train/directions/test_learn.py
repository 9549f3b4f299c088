import numpy as np
import pytest
import torch
from torch import nn

from editor.measure.attribute_network import AttributeNetwork
from editor.measure.attributes import MEASURED
from editor.measure.texture import ZoneTextures
from inversion.directions.linear import apply_direction
from inversion.directions.zones import zone_maps, zone_shares
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import ConfigError
from stylegan2.image import from_uint8
from tests.helpers.training import tiny_generator
from train.directions.fit import components
from train.directions.goals import CONTROLS, EDITS, FACE, Goal, wanted
from train.directions.learn import (
    EditLessons,
    Faces,
    LearnedWay,
    Wanted,
    drawn,
    folded_synthesis,
    learn_edit,
    torn_by,
    whitened,
)
from train.directions.search import edit_of
from train.directions.surrogate import Surrogate
from train.directions.work import WorkFolder

CPU = torch.device("cpu")


class Quarters(nn.Module):
    """Measures that need no learning: how red, green and blue either half of a picture is."""

    def forward(self, img):
        return 20 * img.unflatten(3, (2, -1)).mean((2, 4)).flatten(1)


@pytest.fixture(scope="module")
def lessons():
    generator = tiny_generator()
    left = (torch.arange(8) < 4).float().expand(8, 8)
    synthesis = folded_synthesis(generator, torch.stack([left, 1 - left]), CPU).float()
    ws = generator.broadcast(generator.sample_w(24, seed=3, truncation_psi=1.0))
    with torch.no_grad():
        img = drawn(synthesis, ws)
        measures = Quarters()(img)
    parts = torch.zeros(img[:, 0].shape, dtype=torch.int64)
    faces = Faces(ws=ws, img=img, measures=measures, who=None, parts=parts)
    return EditLessons(synthesis, Quarters(), None, faces, lambda img, zones: img.flatten(1).mean(1))


def asked(lessons, zones=None):
    change = torch.zeros(6)
    change[0] = lessons.faces.measures[:, 0].std()
    held = torch.zeros(16)
    return Wanted(change=change, weight=torch.ones(6), identity=0.0, held=held, zones=zones, reach=1.0)


def moved(lessons, way, strength, wanted_=None):
    ws, steps = lessons.faces.ws, way(torch.full((24,), strength))
    with torch.no_grad():
        img = drawn(lessons._synthesis, ws + steps if wanted_ is None else wanted_.moved(ws, steps))
        return (Quarters()(img) - lessons.faces.measures).mean(0)


def test_an_edit_learns_to_change_its_own_and_nothing_else(lessons):
    w = lessons.faces.ws[:, 0].double().numpy()
    frame, wanted_ = whitened(w), asked(lessons)
    start = torch.from_numpy(w[lessons.faces.measures[:, 0].argmax()] - w.mean(0)).float() / 2
    way = LearnedWay(frame, start, lessons.faces.ws.shape[1])
    lessons.fit_length(way, wanted_)
    before = moved(lessons, way, 1.0)
    learn_edit(lessons, way, wanted_, steps=150, batch=12, seed=(0, 0))
    after, target = moved(lessons, way, 1.0), float(wanted_.change[0])
    assert after[0] == pytest.approx(target, rel=0.3)
    assert moved(lessons, way, -1.0)[0] == pytest.approx(-target, rel=0.3)
    assert after[1:].abs().max() < 0.5 * before[1:].abs().max()


def test_an_edit_of_a_zone_is_learned_in_it(lessons):
    """The first three measures are of the left half, which is zone 0."""
    frame = whitened(lessons.faces.ws[:, 0].double().numpy())
    wanted_ = asked(lessons, zones=torch.tensor([1.0, 0.0]))
    way = LearnedWay(frame, frame[0], lessons.faces.ws.shape[1])
    learn_edit(lessons, way, wanted_, steps=100, batch=12, seed=(0, 0))
    found = moved(lessons, way, 1.0, wanted_)
    assert found[0] == pytest.approx(float(wanted_.change[0]), rel=0.4)
    assert found[3:].abs().max() < 0.3 * found[0]


def test_torn_is_what_the_probe_sees_with_gradient():
    network = AttributeNetwork().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 128, 128, 3), np.uint8)
    textures = ZoneTextures(network, pixels[:20], zone_maps(CropConfig()))
    img = from_uint8(torch.from_numpy(pixels[20:])).requires_grad_(True)
    torn = torn_by(network, textures)
    for zones in ({}, {"mouth": 1.0, "lower": 0.5}):
        found = torn(img, zone_shares(zones) if zones else None)
        assert found.detach().numpy() == pytest.approx(textures.tear(pixels[20:], zones), rel=1e-3)
    img.grad = None
    torn(img, zone_shares({"mouth": 1.0})).sum().backward()
    assert img.grad[:, :, :16].abs().max() < 1e-3 * img.grad.abs().max()  # the hair is none of its business


def test_learning_is_the_same_for_the_same_seed(lessons):
    frame = whitened(lessons.faces.ws[:, 0].double().numpy())
    found = []
    for seed in (0, 0, 1):
        way = LearnedWay(frame, frame[0], lessons.faces.ws.shape[1])
        learn_edit(lessons, way, asked(lessons), steps=2, batch=4, seed=(seed, 0))
        found.append(way.slope.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_way_starts_where_the_regression_ends():
    frame = torch.eye(5) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1])[:, None]
    start = torch.tensor([1.0, -1.0, 0.5, 0.0, 0.2])
    way = LearnedWay(frame, start, 3)
    assert torch.allclose(way(torch.tensor([2.0, -1.0]))[1], -start.expand(3, -1), atol=1e-6)


@pytest.mark.parametrize("name", ["smile", "age"])
def test_an_edit_goes_where_its_way_goes(name):
    rng = torch.Generator().manual_seed(0)
    way = LearnedWay(torch.randn(4, 6, generator=rng), torch.zeros(6), 3)
    way.slope.data = torch.randn(3, 4, generator=rng)
    way.bend.data = torch.randn(3, 4, generator=rng)
    edit, ws = edit_of(name, EDITS[name], way), torch.randn(2, 3, 6, generator=rng)
    for strength in (-1.2, 0.7):
        should = wanted(EDITS[name], MEASURED, np.ones(len(MEASURED))).moved(
            ws, way(torch.tensor([strength]))
        )
        found = apply_direction(ws, edit, strength * edit.unit_size)
        assert torch.allclose(found, should, atol=5e-3)
    doubled = apply_direction(ws, edit.lengthened(2), 0.5 * edit.unit_size)
    assert torch.allclose(doubled, apply_direction(ws, edit, 1.0 * edit.unit_size), atol=1e-5)


def test_goals_count_in_years_and_degrees_where_they_say_so():
    spread = np.full(len(MEASURED), 5.0)
    assert wanted(EDITS["age"], MEASURED, spread).change[MEASURED.index("age")] == 2
    assert wanted(EDITS["smile"], MEASURED, spread).change[MEASURED.index("smile")] == 1
    goal = Goal(attribute="smile", label="x", group="x", low="x", high="x", along={"teeth": 0.5})
    change = wanted(goal, MEASURED, spread).change
    assert change[MEASURED.index("teeth")] == 0.5
    assert int((change != 0).sum()) == 2


def test_every_goal_is_measured_and_holds_the_skin():
    spread = np.ones(len(MEASURED))
    for goal in EDITS.values():
        assert {goal.attribute, *goal.along, *goal.spare} <= set(MEASURED)
        held = wanted(goal, MEASURED, spread).weight
        assert all(held[MEASURED.index(name)] >= 0.5 for name in CONTROLS)
        assert goal.attribute not in CONTROLS
    gaze = wanted(EDITS["gaze"], MEASURED, spread).held
    assert float(gaze[EDITS["gaze"].free[0]]) == 0
    assert all(gaze[part] > 0 for part in FACE if part not in EDITS["gaze"].free)


def test_components_hold_the_share_of_the_variance():
    w = np.random.default_rng(0).normal(size=(4000, 4)) * [4.0, 2.0, 0.1, 0.1]
    scale, basis = components(w - w.mean(0), 0.98)
    assert scale == pytest.approx([4, 2], rel=0.05)
    assert np.abs(basis[:, :2]) == pytest.approx(np.eye(2), abs=0.05)
    assert float(whitened(w).norm(dim=1)[0]) == pytest.approx(4, rel=0.05)


def test_work_goes_on_where_it_was_broken_off(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.ones((2, 3)), np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 1), 2.0)

    for _ in range(2):
        w, pixels, table = WorkFolder(tmp_path, "ours").pool(make)
    assert (len(made), w.shape, pixels.dtype, table[0, 0]) == (1, (2, 3), np.uint8, 2.0)
    way = LearnedWay(torch.eye(3), torch.ones(3), 2)
    assert not WorkFolder(tmp_path, "ours").load_way(1, "smile", way)
    WorkFolder(tmp_path, "ours").save_way(1, "smile", way)
    other = LearnedWay(torch.eye(3), torch.zeros(3), 2)
    assert WorkFolder(tmp_path, "ours").load_way(1, "smile", other)
    assert torch.equal(other.slope, way.slope)
    with pytest.raises(ConfigError, match="lacks the edited faces of round 1"):
        WorkFolder(tmp_path, "ours").edited(1)
    with pytest.raises(ConfigError, match="holds a search on another generator"):
        WorkFolder(tmp_path, "theirs")


def test_the_surrogate_answers_for_any_size():
    from editor.measure.attribute_network import AttributeNetwork

    surrogate = Surrogate(AttributeNetwork(), 5).eval()
    for side in (64, 128, 256):
        assert surrogate(torch.zeros(2, 3, side, side)).shape == (2, 5)
