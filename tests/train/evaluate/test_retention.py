import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file

from inversion.directions.bank import DIRECTIONS_ROOT, DirectionBank, find_directions
from inversion.networks.checkpoint import save_encoder
from inversion.networks.config import EncoderConfig
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, EngineError
from stylegan2.image import from_uint8, to_uint8
from tests.helpers import training
from tests.helpers.opened import Oracle, known_model, tiny_model
from tests.helpers.pictures import write_shard
from tests.helpers.plain_chain import PlainChain
from tests.helpers.refiners import tiny_refiners
from train.__main__ import main
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate import evaluate as evaluation
from train.evaluate import retention
from train.evaluate.retention import measure_retention, open_instruments, own_attribute, report_retention
from train.evaluate.subject import Subject
from train.losses.detail import detail_share


@pytest.fixture
def directions(tiny_directions):
    """The tiny edits, each with an attribute that the fake instruments know."""
    return DirectionBank(
        {
            "smile": replace(tiny_directions["smile"], effects={"red": 2.0, "green": -1.0}),
            "age": replace(tiny_directions["age"], effects={"red": 0.1, "green": -2.0}, range=(-1.0, 1.0)),
        }
    )


def colours(pixels):
    """Attributes of any picture: the mean of two channels."""
    red, green, _ = pixels.astype(np.float64).mean((0, 1))
    return {"red": red, "green": green}


class Embedder(torch.nn.Module):
    """A picture's own pixels as its identity."""

    def forward(self, img):
        return F.normalize(F.avg_pool2d(img, 8).flatten(1), dim=1)


def test_what_an_edit_is_about_is_what_is_said_or_what_changes_most(tiny_directions):
    edit = replace(tiny_directions["smile"], effects={"red": 2.0, "green": -3.0})
    assert own_attribute(edit) == "green"
    assert own_attribute(replace(edit, attribute="red")) == "red"
    assert own_attribute(replace(edit, attribute="blue")) == "green"  # it was not measured
    assert own_attribute(replace(edit, effects={})) is None


def known_faces(generator, count):
    w = generator.sample_w(count, seed=UNSEEN_PAIRS, truncation_psi=retention.PSI)
    return w, to_uint8(generator.synthesis(generator.broadcast(w)))


def measured(model, directions, pixels, **options):
    options = {"measure_face": colours, "identity": Embedder(), "faces": 3} | options
    return measure_retention(Subject(model=model, directions=directions), pixels, **options)


def test_a_perfect_inversion_retains_everything(tiny_generator, directions):
    w, pixels = known_faces(tiny_generator, 3)
    found = measured(known_model(tiny_generator, Oracle(w)), directions, pixels)
    space, generated = found["w"], found["generated"]
    assert (space["retention_median"], space["retention_min"]) == (1, 1)
    assert {name: edit["attribute"] for name, edit in space["by_edit"].items()} == {
        "smile": "red",
        "age": "green",
    }
    for name, edit in space["by_edit"].items():
        assert (edit["retention"], edit["found"]) == (1, 1)
        assert edit["identity_median"] == generated["by_edit"][name]["identity_median"] < 0.9999
        assert edit["identity_median"] == edit["identity_to_reconstruction_median"]
    assert found["protocol"]["strengths"] == [-2, 2]
    assert (found["protocol"]["generated_faces"], found["protocol"]["real_faces"]) == (3, 3)
    assert set(found) == {"protocol", "generated", "w"}
    json.dumps(found, allow_nan=False)


def test_changes_and_identities_are_those_of_edits_drawn_by_hand(tiny_generator, directions):
    """At +-2 although the slider of `age` stops at 1; ratio of means; identity over faces and both ends."""
    w, pixels = known_faces(tiny_generator, 3)
    direction, offset = directions["age"], 0.4 * torch.randn(32)

    def ends(start):
        ws = tiny_generator.broadcast(start)
        for sign in (-2, 2):
            moved = ws.clone()
            moved[:, :2] += sign * direction.sigma * direction.direction
            yield to_uint8(tiny_generator.synthesis(moved))

    def change(start):
        low, high = ([colours(p)["green"] for p in end.numpy()] for end in ends(start))
        return np.mean(high) - np.mean(low)

    def cosines(reference):
        who = Embedder()(from_uint8(reference))
        return torch.cat([(Embedder()(from_uint8(end)) * who).sum(1) for end in ends(w + offset)])

    found = measured(known_model(tiny_generator, Oracle(w, offset)), directions, pixels)
    edit = found["w"]["by_edit"]["age"]
    assert found["generated"]["by_edit"]["age"]["change"] == pytest.approx(change(w), abs=1e-5)
    assert edit["retention"] == pytest.approx(change(w + offset) / change(w), abs=1e-5)
    rebuilt = to_uint8(tiny_generator.synthesis(tiny_generator.broadcast(w + offset)))
    assert edit["identity_median"] == pytest.approx(np.median(cosines(pixels).numpy()), abs=1e-5)
    assert edit["identity_to_reconstruction_median"] == pytest.approx(
        np.median(cosines(rebuilt).numpy()), abs=1e-5
    )
    shares = [detail_share(from_uint8(end), from_uint8(pixels)).mean(1) for end in ends(w + offset)]
    assert edit["detail_median"] == pytest.approx(np.median(torch.cat(shares).numpy()), abs=1e-5)
    both = [found["w"]["by_edit"][name]["retention"] for name in ("smile", "age")]
    assert found["w"]["retention_median"] == pytest.approx(np.median(both), abs=1e-5)
    assert found["w"]["retention_min"] == pytest.approx(min(both), abs=1e-5)


def test_a_chain_adds_its_spaces(tiny_generator, tiny_encoder, directions, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 1)  # what follows draws all faces at once
    _, pixels = known_faces(tiny_generator, 4)
    refiners = tiny_refiners(tiny_encoder)
    chain = PlainChain(synthesis=tiny_generator.synthesis, encoder=tiny_encoder, refiners=refiners)
    found = measured(tiny_model(tiny_generator, tiny_encoder, refiners), directions, pixels, faces=2)
    assert set(found) == {"protocol", "generated", "w", "w+", "f"}
    assert len({found[space]["retention_median"] for space in ("w", "w+", "f")}) == 3
    assert len({found[space]["identity_median"] for space in ("w", "w+", "f")}) == 3
    assert found["protocol"]["real_faces"] == 2
    latents = chain.invert(from_uint8(pixels[-2:]))
    wide = replace(directions["age"], range=(-2, 2))
    low, high = (
        to_uint8(chain.draw(latents, DirectionBank({"age": wide}).apply(latents.ws_f, {"age": strength})))
        for strength in (-2, 2)
    )
    change = np.mean(
        [colours(b)["green"] - colours(a)["green"] for a, b in zip(low.numpy(), high.numpy(), strict=True)]
    )
    expected = change / found["generated"]["by_edit"]["age"]["change"]
    assert found["f"]["by_edit"]["age"]["retention"] == pytest.approx(expected, abs=1e-3)


def test_faces_that_are_lost_at_one_end_do_not_count(tiny_generator, directions):
    """Among the first 12 pictures, those of the generated faces, every fourth has no face."""
    w, pixels = known_faces(tiny_generator, 3)
    seen = []

    def measure_face(picture):
        seen.append(picture)
        return None if len(seen) % 4 == 0 and len(seen) <= 12 else colours(picture)

    found = measured(known_model(tiny_generator, Oracle(w)), directions, pixels, measure_face=measure_face)
    low, high = (
        np.array([colours(p)["red"] for p in seen[:3]]),
        np.array([colours(p)["red"] for p in seen[3:6]]),
    )
    smile = found["generated"]["by_edit"]["smile"]
    assert smile["found"] == pytest.approx(5 / 6, abs=1e-5)
    assert smile["change"] == pytest.approx((high - low)[1:].mean(), abs=1e-5)
    assert found["w"]["by_edit"]["smile"]["retention"] == pytest.approx(
        (high - low).mean() / (high - low)[1:].mean(), abs=1e-5
    )


def test_without_any_face_there_is_no_number(tiny_generator, directions):
    w, pixels = known_faces(tiny_generator, 2)
    found = measured(
        known_model(tiny_generator, Oracle(w)), directions, pixels, measure_face=lambda _: None, identity=None
    )
    assert (found["w"]["retention_median"], found["w"]["retention_min"]) == (None, None)
    smile = found["w"]["by_edit"]["smile"]
    assert 0 < smile.pop("detail_median") < 1.5  # needs no face
    assert smile == {
        "attribute": "red",
        "retention": None,
        "identity_median": "n/a",
        "identity_to_reconstruction_median": "n/a",
        "found": 0,
    }
    json.dumps(found, allow_nan=False)


def test_the_own_attribute_is_the_one_that_changes_most(tiny_directions):
    direction = tiny_directions["smile"]
    assert own_attribute(direction) is None
    assert own_attribute(replace(direction, effects={"a": 1.0, "b": -2.0, "c": float("nan")})) == "b"


@pytest.mark.weights
def test_the_bundled_directions_change_their_own_attribute_most():
    bank = find_directions(load_bundle().generator_sha256, 512, 12, DIRECTIONS_ROOT)
    expected = {
        "eyes": "eyes_open",
        "gender": "masculine",
        "grin": "teeth",
        "mouth": "mouth_open",
        "width": "face_width",
        "turn": "yaw",
        "nod": "pitch",
    }
    assert {name: own_attribute(bank[name]) for name in bank} == {
        name: expected.get(name, name) for name in bank
    }


def test_directions_without_effects_are_left_out_by_name(tiny_generator, directions, tiny_directions):
    w, pixels = known_faces(tiny_generator, 2)
    bank = DirectionBank({"smile": directions["smile"], "age": tiny_directions["age"]})
    found = measured(known_model(tiny_generator, Oracle(w)), bank, pixels)
    assert set(found["w"]["by_edit"]) == {"smile"}
    assert found["protocol"]["left_out"] == ["age"]


@pytest.mark.parametrize("error", [CheckpointError("no landmarks"), EngineError("no OpenVINO")])
def test_a_missing_instrument_is_a_reason_and_no_crash(
    tiny_generator, tiny_encoder, directions, monkeypatch, tmp_path, error
):
    @contextmanager
    def refuse(folder):
        raise error
        yield

    monkeypatch.setattr(retention, "open_instruments", refuse)
    subject = Subject(model=tiny_model(tiny_generator, tiny_encoder), directions=directions)
    found = report_retention(
        subject,
        torch.zeros(1, 32, 32, 3, dtype=torch.uint8),
        identity=None,
        folder=tmp_path,
    )
    assert found == {"retention": "n/a", "retention_reason": str(error)}


def test_instruments_that_are_missing_are_named(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    with pytest.raises(CheckpointError, match=r"age-v1\.onnx: no such file"), open_instruments(tmp_path):
        pass
    monkeypatch.setitem(sys.modules, "editor.measure.attributes", None)
    with pytest.raises(CheckpointError, match="faces cannot be measured"), open_instruments(tmp_path):
        pass


def test_the_instruments_measure_a_face(shared, astronaut):
    face = np.ascontiguousarray(astronaut[40:200, 150:310])
    with open_instruments(shared / "models" / "metrics") as measure_face:
        assert {"smile", "age", "masculine", "light"} <= set(measure_face(face))
        assert measure_face(np.zeros_like(face)) is None


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A bundle with an untrained encoder, one direction, and two of its faces."""
    generator = training.tiny_generator()
    config = EncoderConfig(in_resolution=32, w_dim=16, channels=(8,) * 5, depths=(1,) * 4, hidden=8)
    save_encoder(WEncoder(config).eval(), tmp_path / "encoder.safetensors")
    training.write_bundle(tmp_path, generator=generator, encoder="encoder.safetensors")
    write_shard(tmp_path / "faces.tar", to_uint8(generator(torch.randn(2, 16))).numpy())
    entry = {"label": "Smile", "group": "Face", "low": "sad", "high": "glad", "sigma": 1.0, "range": [-3, 3]}
    manifest = {
        "generator_sha256": file_sha256(tmp_path / "generator.safetensors"),
        "file": "d.safetensors",
        "directions": {"smile": {**entry, "effects": {"red": 1.0}}},
    }
    folder = tmp_path / "directions" / "tiny"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    save_file({"smile": F.normalize(torch.randn(1, 16))[0]}, folder / "d.safetensors")
    monkeypatch.setattr(
        evaluation, "find_directions", lambda *key: find_directions(*key, tmp_path / "directions")
    )
    return tmp_path


def evaluated(capsys, model, *arguments):
    common = ("--data", model / "faces.tar", "--bundle", model, "--metrics-dir", model, "--edit-faces", 0)
    assert main(["evaluate", "--json", *map(str, (*common, *arguments))]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_evaluation_reports_retention(model, monkeypatch, capsys):
    @contextmanager
    def instruments(folder):
        assert folder == model
        yield colours

    monkeypatch.setattr(retention, "open_instruments", instruments)
    found = evaluated(capsys, model, "--retention-faces", 3)["retention"]
    assert set(found) == {"protocol", "generated", "w"}
    assert (found["protocol"]["generated_faces"], found["protocol"]["real_faces"]) == (3, 2)
    assert isinstance(found["w"]["retention_median"], float)
    assert found["w"]["identity_median"] == "n/a"
    assert "retention" not in evaluated(capsys, model, "--retention-faces", 0)


def test_evaluation_goes_on_without_instruments(model, capsys):
    pytest.importorskip("openvino")
    found = evaluated(capsys, model)
    assert found["retention"]["retention"] == "n/a"
    assert "age-v1.onnx: no such file" in found["retention"]["retention_reason"]
    assert found["spaces"]["w"]["count"] == 2
