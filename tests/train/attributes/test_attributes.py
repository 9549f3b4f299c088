import io
import json
import math
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from editor.measure.attribute_network import (
    ATTRIBUTES,
    NAMES,
    SIDE,
    AttributeNetwork,
    expected_years,
    load_attributes,
    save_attributes,
)
from editor.parts.labels import Part
from stylegan2.errors import CheckpointError, ConfigError, ShapeError
from train.attributes.config import AttributesConfig, AttributesPhaseConfig
from train.attributes.faces import keep_faces, parts_of, read_known, told_by, values_of, varied
from train.attributes.measures import area_under_curve, correlation, qualities
from train.attributes.stage import ATTRIBUTES_FILE, AttributesStage, attribute_losses
from train.core.config import HardwareConfig, RunConfig
from train.core.loop import training_loop
from train.errors import DatasetError
from train.losses.perceptual import load_perceptual


def written(path, notes, side=64):
    """A shard of faces, grey where young and light where old."""
    with tarfile.open(path, "w") as tar:
        for number, note in enumerate(notes):
            picture, level = io.BytesIO(), 40 + 2 * int(note.get("age", 30))
            Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(picture, "WEBP", lossless=True)
            for suffix, data in (("webp", picture.getvalue()), ("json", json.dumps(note).encode())):
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(path)


NOTES = [
    {"source": "a", "age": 10 + 70 * (n % 2), "male": n % 2}
    if n % 3
    else {"source": "omi", "ratings": {"age": 30.5, "happy": 20.0 + 7 * n, "long-haired": 50.0, "odd": 1}}
    for n in range(12)
]


class Parser:
    """Finds glasses on light faces."""

    def __init__(self):
        self.asked = 0

    def parts(self, crop):
        self.asked += 1
        found = np.full(crop.shape[:2], int(Part.SKIN), np.uint8)
        if crop.mean() > 150:
            found[:8] = Part.GLASSES
        return found


def test_notes_become_numbers():
    told = told_by({"age": 43, "male": 1})
    assert told == {"age": 43.0, "male": 1.0}
    values = values_of(told_by({"ratings": {"happy": 70, "age": 120, "hair-color": 12, "smart": 3}}))
    by_name = dict(zip(NAMES, values.tolist(), strict=True))
    assert (by_name["happy"], by_name["hair_colour"], by_name["age"]) == (70, 12, 100)
    assert math.isnan(by_name["male"])
    assert math.isnan(by_name["glasses"])


def test_parts_say_whether_there_are_glasses():
    parts = np.full((100, 100), int(Part.SKIN), np.uint8)
    assert parts_of(parts)["glasses"] == 0
    parts[:5, :20] = Part.GLASSES
    parts[50:, :40] = Part.HAIR
    found = parts_of(parts)
    assert found["glasses"] == 1
    assert found["hair"] == pytest.approx(0.2)
    assert found["earrings"] == 0


def test_faces_are_read_and_parsed_once(tmp_path):
    shard, parser = written(tmp_path / "faces.tar", NOTES), Parser()
    faces = keep_faces(tmp_path / "kept", (shard,), parser)
    assert len(faces) == parser.asked == 12
    assert faces.pixels.shape == (12, SIDE, SIDE, 3)
    glasses = faces.known[:, NAMES.index("glasses")]
    assert glasses.tolist() == [float(note.get("age") == 80) for note in NOTES]
    again = keep_faces(tmp_path / "kept", (shard,), parser)
    assert parser.asked == 12
    np.testing.assert_array_equal(again.known, faces.known)
    with pytest.raises(ConfigError, match="faces of another"):
        keep_faces(tmp_path / "kept", (shard, shard), parser)


def test_reading_goes_on_where_it_was_broken_off(tmp_path):
    shard = written(tmp_path / "faces.tar", NOTES)

    class Broken(Parser):
        def parts(self, crop):
            if self.asked == 5:
                raise KeyboardInterrupt
            return super().parts(crop)

    with pytest.raises(KeyboardInterrupt):
        keep_faces(tmp_path / "kept", (shard,), Broken())
    parser = Parser()
    whole = keep_faces(tmp_path / "kept", (shard,), parser)
    assert parser.asked == 7
    other = keep_faces(tmp_path / "other", (shard,), Parser())
    np.testing.assert_array_equal(whole.known, other.known)
    np.testing.assert_array_equal(whole.pixels, other.pixels)


def test_shards_that_are_none_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="missing, damaged"):
        list(read_known(str(tmp_path / "none.tar")))
    with pytest.raises(DatasetError, match="no faces"):
        keep_faces(tmp_path / "kept", (written(tmp_path / "empty.tar", []),), Parser())
    (tmp_path / "broken.tar").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"broken\.tar"):
        keep_faces(tmp_path / "kept", (str(tmp_path / "broken.tar"),), Parser())


def test_varied_faces_stay_faces():
    img = torch.rand(4, 3, 64, 64) * 2 - 1
    out = varied(img, torch.Generator().manual_seed(0))
    assert out.shape == img.shape
    assert out.abs().max() <= 1
    assert torch.equal(out, varied(img, torch.Generator().manual_seed(0)))
    assert not torch.equal(out, varied(img, torch.Generator().manual_seed(1)))


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    rng = torch.Generator().manual_seed(0)
    score = torch.randint(0, 9, (60,), generator=rng).float()
    truth = (torch.rand(60, generator=rng) < 0.4).float()
    yes, no = score[truth > 0], score[truth == 0]
    pairs = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no)
    assert area_under_curve(score, truth) == pytest.approx(float(pairs.mean()))
    assert math.isnan(area_under_curve(score, torch.zeros(60)))


def test_every_attribute_has_its_measure():
    known = torch.rand(30, len(ATTRIBUTES), generator=torch.Generator().manual_seed(0)).round()
    known[:, 0] = torch.arange(30)
    known[4, 0] = math.nan
    found = known.nan_to_num(50)
    found[:, 0] += 2
    told = qualities(found, known)
    assert told["age_error"] == 2
    assert told["male_auc"] == 1
    assert told["happy_r"] == pytest.approx(1)
    assert math.isnan(correlation(torch.ones(2), torch.ones(2)))


def test_years_are_the_mean_of_their_distribution():
    logits = torch.full((2, 101), -30.0)
    logits[0, 42] = logits[1, 20] = logits[1, 30] = 0
    torch.testing.assert_close(expected_years(logits), torch.tensor([[42.0], [25.0]]))


def test_what_nobody_tells_costs_nothing_and_what_is_right_little():
    years, others = torch.zeros(3, 101), torch.zeros(3, len(ATTRIBUTES) - 1)
    rare = torch.ones(len(ATTRIBUTES))
    known = torch.full((3, len(ATTRIBUTES)), math.nan)
    assert sum(attribute_losses(years, others, known, rare).values()) == 0
    known[0, 0], known[1, 1] = 30.0, 1.0
    wrong = attribute_losses(years, others, known, rare)
    years[0] = -0.5 * ((torch.arange(101) - 30) / 2.5).square()
    others[1, 0] = 5.0
    right = attribute_losses(years, others, known, rare)
    assert right["age"] < 0.6 * wrong["age"]
    assert right["odds"] < 0.1 * wrong["odds"]
    assert right["scale"] == 0


def test_the_file_holds_the_network(tmp_path):
    network = AttributeNetwork().eval()
    save_attributes(network, tmp_path / "a.safetensors")
    img = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        before, after = network(img), load_attributes(tmp_path / "a.safetensors")(img)
    assert after.shape == (2, len(ATTRIBUTES))
    torch.testing.assert_close(after[:, 1:], before[:, 1:], atol=0.05, rtol=0.05)  # 8 bits a number
    with pytest.raises(ShapeError, match="img"):
        network(img[..., :64])
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_attributes(tmp_path / "b.safetensors")


def settings(tmp_path, **changes):
    phase = AttributesPhaseConfig(name="all", max_steps=8, batch=4, lr=1e-3, warmup_steps=1, frozen_blocks=9)
    return AttributesConfig(
        faces=("faces.tar",),
        run=RunConfig(folder=tmp_path / "run", validate_every=8, checkpoint_every=4, log_every=2),
        phases=(phase,),
        validation_every=4,
        hardware=HardwareConfig(device="cpu", precision="float32"),
        **changes,
    )


def stage_of(config, tmp_path):
    torch.manual_seed(0)
    network = AttributeNetwork()
    network.start_from(load_perceptual().features)
    network.requires_grad_(True)
    shard = written(tmp_path / "faces.tar", NOTES)
    stage = AttributesStage(
        config,
        network,
        lambda progress: keep_faces(tmp_path / "kept", (shard,), Parser(), progress),
        torch.device("cpu"),
    )
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    return stage


def test_training_lowers_the_loss_and_writes_what_is_read(tmp_path):
    config = settings(tmp_path)
    stage = stage_of(config, tmp_path)
    first = stage.step(0, 0.0)
    assert set(first) == {"age", "odds", "scale", "total", "gradient_norm"}
    frozen = stage.network.blocks[2].expand.weight.clone()
    training_loop(stage, config.run, {}, resume=False, report=lambda line: None)
    assert torch.equal(frozen, stage.network.blocks[2].expand.weight)
    last = [float(stage.step(step, 0.99)["total"]) for step in range(20, 24)]
    assert np.mean(last) < float(first["total"])
    assert set(stage.validate()) >= {"age_error", "male_auc", "glasses_auc", "happy_r"}
    assert stage.grid().shape == (SIDE, 3 * SIDE, 3)
    assert isinstance(load_attributes(tmp_path / "run" / ATTRIBUTES_FILE), AttributeNetwork)


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    config = settings(tmp_path)
    whole, first = stage_of(config, tmp_path), stage_of(config, tmp_path)
    for step in range(3):
        whole.step(step, 0.5)
    first.step(0, 0.5)
    second = stage_of(config, tmp_path)
    second.load_state_dict(first.state_dict())
    for step in (1, 2):
        second.step(step, 0.5)
    for one, two in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    ("wrong", "changes"),
    [
        ("faces", {"faces": ()}),
        ("validation_every", {"validation_every": 1}),
    ],
)
def test_settings_out_of_bounds_are_named(tmp_path, wrong, changes):
    with pytest.raises(ConfigError, match=wrong):
        AttributesConfig(**{**vars(settings(tmp_path)), **changes})


@pytest.mark.parametrize("changes", [{"batch": 1}, {"rated_share": 1.0}, {"frozen_blocks": 12}])
def test_phases_out_of_bounds_are_named(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        AttributesPhaseConfig(name="all", max_steps=1, lr=1e-3, **changes)
