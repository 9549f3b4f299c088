import io
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from editor.errors import FaceError, ImageInputError
from editor.painter import Painter
from editor.photo.export import edit_note, encode_png, save_png
from editor.pipeline import open_editor
from inversion.directions.bank import DirectionBank
from inversion.directions.components import OFFERED, discover_directions
from inversion.directions.errors import DirectionError, StrengthError
from inversion.networks.checkpoint import save_encoder
from stylegan2.bundle.checkpoint import file_sha256, save_generator
from stylegan2.errors import CheckpointError


def test_a_photo_becomes_an_edited_picture(tiny_editor, astronaut):
    session = tiny_editor.invert(astronaut)
    assert session.crop.shape == (32, 32, 3)
    assert set(session.milliseconds) == {"crop", "invert"}
    plain = tiny_editor.render(session)
    edited = tiny_editor.render(tiny_editor.edit(session, {"smile": 2.0}))
    assert plain.shape == edited.shape == (32, 32, 3)
    assert plain.dtype == np.uint8
    assert np.abs(plain.astype(int) - edited).mean() > 1
    assert np.array_equal(plain, tiny_editor.reconstruct(session))


def test_edits_replace_each_other_and_leave_the_session_alone(tiny_editor, astronaut):
    session = tiny_editor.invert(astronaut)
    both = tiny_editor.edit(tiny_editor.edit(session, {"smile": 1.0}), {"age": 1.0})
    assert both.strengths == {"age": 1.0}
    assert session.strengths == {}


def test_the_way_back_to_the_photo_is_kept(tiny_editor, astronaut):
    session = tiny_editor.invert(astronaut)
    center = session.transform @ [16, 16, 1]
    assert 180 < center[0] < 270  # the astronaut's face
    assert 60 < center[1] < 180


def test_a_sample_inverts_to_itself_by_its_latent(tiny_editor):
    session = tiny_editor.sample(3)
    assert np.array_equal(session.crop, tiny_editor.reconstruct(session))
    assert np.array_equal(session.crop, tiny_editor.sample(3).crop)


def test_optimisation_keeps_the_edits(tiny_editor, astronaut):
    session = tiny_editor.edit(tiny_editor.invert(astronaut), {"smile": 1.0})
    optimised = tiny_editor.optimise(session, 30)
    assert optimised.strengths == {"smile": 1.0}
    before, after = (cv2.PSNR(s.crop, tiny_editor.reconstruct(s)) for s in (session, optimised))
    assert after > before + 1
    assert "optimise" in optimised.milliseconds


def test_no_face_is_refused(tiny_editor):
    with pytest.raises(FaceError, match="no face found in the 200x200 photo"):
        tiny_editor.invert(np.full((200, 200, 3), 128, np.uint8))


def test_a_bad_photo_is_refused(tiny_editor):
    with pytest.raises(ImageInputError):
        tiny_editor.invert(b"not a picture")


def test_a_bad_strength_is_refused(tiny_editor, astronaut):
    session = tiny_editor.invert(astronaut)
    with pytest.raises(StrengthError):
        tiny_editor.edit(session, {"smile": float("nan")})


def test_exports_say_that_they_are_edited():
    data = encode_png(np.zeros((8, 8, 3), np.uint8), {"smile": 1.5, "age": 0.0})
    image = Image.open(io.BytesIO(data))
    assert image.text["Description"] == "Drawn by a generative model from a photo: smile +1.5"
    assert "compositeWithTrainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
    assert edit_note({}) == "Drawn by a generative model from a photo: no attribute edit"


def test_exports_keep_every_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    save_png(tmp_path / "a.png", pixels, {})
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


def test_other_endings_and_places_are_refused(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ImageInputError, match=r"ends in '\.jpg'; pictures are written as \.png"):
        save_png(tmp_path / "a.jpg", pixels, {})
    with pytest.raises(ImageInputError, match="cannot be written"):
        save_png(tmp_path / "none" / "a.png", pixels, {})


def test_a_folder_without_bundle_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no bundle\.yaml there"):
        open_editor(tmp_path)


@pytest.mark.weights
def test_the_bundled_model_reconstructs_the_astronaut(astronaut):
    editor = open_editor(engine="torch")
    with editor.detector:
        session = editor.invert(astronaut)
    mean = editor.decoder.renderer.render(editor.generator.w_avg[None])[0].numpy()
    assert cv2.PSNR(session.crop, editor.reconstruct(session)) > cv2.PSNR(session.crop, mean) + 2
    assert torch.isfinite(session.inversion.ws).all()


def test_a_bundle_of_another_size_needs_no_code(tiny_generator, tiny_encoder, tmp_path, astronaut):
    save_generator(tiny_generator, tmp_path / "g.safetensors")
    save_encoder(tiny_encoder, tmp_path / "e.safetensors")
    roles = {"generator": "g.safetensors", "encoder": "e.safetensors"}
    files = {role: {"file": file, "sha256": file_sha256(tmp_path / file)} for role, file in roles.items()}
    manifest = {
        "name": "tiny",
        "resolution": 32,
        "crop": {"scale": 1.0},
        "licence": "own",
        "files": files,
    }
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    editor = open_editor(tmp_path, engine="torch")
    with editor.detector:
        session = editor.invert(astronaut)
    assert editor.render(session).shape == (32, 32, 3)
    assert next(iter(editor.directions)) == "component-1"  # none were made for this generator

    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump({**manifest, "resolution": 64}))
    with pytest.raises(CheckpointError, match=r"g\.safetensors: draws 32 px, the bundle says 64 px"):
        open_editor(tmp_path)

    without = {**manifest, "files": {"generator": files["generator"]}}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(without))
    assert not open_editor(tmp_path, engine="torch").has_encoder


def test_without_an_encoder_a_photo_is_found_by_optimisation(lone_editor, astronaut):
    session = lone_editor.invert(astronaut)
    assert lone_editor.awaits_fit(session)
    assert torch.equal(session.inversion.w[0], lone_editor.generator.w_avg)
    fitted = lone_editor.optimise(session, 40)
    assert not lone_editor.awaits_fit(fitted)
    before, after = (cv2.PSNR(session.crop, lone_editor.reconstruct(s)) for s in (session, fitted))
    assert after > before + 1
    assert not lone_editor.awaits_fit(lone_editor.sample(3))  # its latent is the true one


def test_an_editor_with_an_encoder_never_awaits_a_fit(tiny_editor, astronaut):
    assert not tiny_editor.awaits_fit(tiny_editor.invert(astronaut))


def test_components_are_offered_where_no_direction_has_a_name(tiny_generator):
    bank = discover_directions(tiny_generator)
    assert list(bank) == [f"component-{number}" for number in range(1, OFFERED + 1)]
    sigmas = [edit.sigma for edit in bank.values()]
    assert sigmas == sorted(sigmas, reverse=True)
    w = tiny_generator.mapping(torch.randn(20000, 32))
    for edit in bank.values():
        assert (w @ edit.direction).std().item() == pytest.approx(edit.sigma, rel=0.05)
    again = discover_directions(tiny_generator)
    assert all(torch.equal(again[name].direction, edit.direction) for name, edit in bank.items())


def test_the_engine_that_is_named_is_the_one_that_draws_the_space(refined_editor, astronaut, monkeypatch):
    session = refined_editor.invert(astronaut)
    monkeypatch.setattr(
        type(refined_editor.decoder.features.engine), "name", property(lambda engine: str(id(engine)))
    )
    for space, drawn_by in (("w", refined_editor.decoder.renderer), ("f", refined_editor.decoder.features)):
        assert refined_editor.engine_name(refined_editor.enter(session, space)) == str(id(drawn_by.engine))


def test_each_space_is_drawn_and_edited_by_itself(refined_editor, astronaut):
    session = refined_editor.invert(astronaut)
    assert session.space == "f"
    assert refined_editor.spaces(session) == ("w", "w+", "f")
    pictures = [refined_editor.reconstruct(refined_editor.enter(session, s)) for s in ("w", "w+", "f")]
    assert all((a != b).any() for a, b in pairwise(pictures))
    found = session.inversion
    assert (pictures[1] == refined_editor.decoder.renderer.render(found.ws)[0].numpy()).all()
    assert (pictures[2] == refined_editor.decoder.features.render(found.f.ws, found.f)[0].numpy()).all()
    still = refined_editor.edit(session, {"smile": 0.0})
    assert (refined_editor.render(still) == pictures[2]).all()
    moved = refined_editor.render(refined_editor.edit(session, {"smile": 2.0}))
    assert (moved != pictures[2]).any()


def test_photos_are_moved_by_their_gains_and_invented_faces_are_not(refined_editor, astronaut, monkeypatch):
    longer = DirectionBank(
        {name: replace(edit, photo_gains={"w+": 2.0}) for name, edit in refined_editor.directions.items()}
    )
    photo = refined_editor.enter(refined_editor.invert(astronaut), "w+")
    face = refined_editor.sample(3)
    once, twice, invented = (
        refined_editor.edit(session, {"smile": strength})
        for session, strength in ((photo, 1.0), (photo, 2.0), (face, 1.0))
    )
    in_f = refined_editor.enter(once, "f")
    assert once.space == invented.space == "w+"

    def pictures(session):
        return [refined_editor.edit_crop(session), refined_editor.render(session)]

    wanted = {"photo": pictures(twice), "invented": pictures(invented), "photo in F": pictures(in_f)}
    monkeypatch.setattr(refined_editor, "directions", longer)
    painter = Painter(refined_editor.decoder, longer, refined_editor.painter.transfer)
    monkeypatch.setattr(refined_editor, "painter", painter)
    found = {"photo": pictures(once), "invented": pictures(invented), "photo in F": pictures(in_f)}
    for name, pixels in wanted.items():
        for one, other in zip(pixels, found[name], strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1, name


def test_a_space_without_latents_is_refused(refined_editor, tiny_editor):
    session = refined_editor.sample(1)  # invented, so nothing is known of it in F
    assert refined_editor.spaces(session) == ("w", "w+")
    with pytest.raises(DirectionError, match=r"no space 'f'; have: w, w\+"):
        refined_editor.enter(session, "f")
