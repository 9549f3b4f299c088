import copy

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from editor.pipeline import open_editor
from inversion.__main__ import main as inversion_main
from inversion.chain.inversion import Inversion
from inversion.directions.errors import DirectionError
from inversion.published import PublishedInverter, load_published
from inversion.published.__main__ import main
from stylegan2.__main__ import main as stylegan2_main
from stylegan2.bundle.checkpoint import file_sha256, load_generator
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError, ShapeError
from stylegan2.layouts import recognise
from stylegan2.layouts.inverter_file import kept_settings
from stylegan2.reading import read_document
from tests.helpers import published_files as files

KINDS = ("clcae", "psp", "e4e")


@pytest.fixture(scope="module")
def generator():
    return files.toy_generator()


@pytest.fixture(scope="module")
def sources(generator, tmp_path_factory):
    """A file of each kind, as its project saves it."""
    folder = tmp_path_factory.mktemp("published")
    for kind in KINDS:
        tensors = files.filled(files.toy_shapes(kind))
        torch.save(files.tree(kind, tensors, generator), folder / f"{kind}.pt")
    return {kind: folder / f"{kind}.pt" for kind in KINDS}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_becomes_a_bundle_with_its_encoder(kind, sources, generator):
    bundle = load_bundle(sources[kind])
    listed = yaml.safe_load((bundle.folder / "bundle.yaml").read_text())["files"]["inverter"]
    assert listed == {"file": "inverter.safetensors", "sha256": bundle.inverter_sha256}
    assert bundle.inverter_sha256 == file_sha256(bundle.inverter_path)
    stored = load_file(bundle.inverter_path)
    tensors = files.filled(files.toy_shapes(kind))
    assert {name.removeprefix("encoder.") for name in stored} == set(tensors)
    assert all(torch.equal(stored[f"encoder.{name}"], value) for name, value in tensors.items())
    before, after = (recognise(read_document(path)) for path in (sources[kind], bundle.inverter_path))
    assert after.layout == before.layout == kind
    assert after.generator_entries == before.generator_entries == 69
    assert after.opts.items() <= before.opts.items()
    own, other = load_published(sources[kind], generator), load_published(bundle.inverter_path, generator)
    assert "69 of 69 decoder tensors" in own.report
    assert other.report.replace("from the generator", "from the file") == own.report.replace(
        "from the generator", "from the file"
    )
    pixels = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    for a, b in zip(own(pixels), other(pixels), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)  # memory lies elsewhere, and so do roundings


@pytest.mark.parametrize(
    ("kind", "spaces", "words"),
    [
        ("clcae", ("w", "w+", "f"), "photos are inverted into W, W+ and F by the CLCAE encoder"),
        ("psp", ("w+",), "photos are inverted into W+ by the pSp encoder"),
        ("e4e", ("w+",), "photos are inverted into W+ by the e4e encoder"),
    ],
)
def test_a_published_file_is_opened_and_edits_a_photo(kind, spaces, words, sources, astronaut):
    editor = open_editor(sources[kind], engine="torch")
    assert words in editor.card.text
    assert editor.has_encoder
    with editor.detector:
        session = editor.invert(astronaut)
    assert editor.spaces(session) == spaces
    assert session.space == spaces[-1]
    assert not editor.awaits_fit(session)
    pictures = [editor.reconstruct(editor.enter(session, space)) for space in spaces]
    assert all(picture.shape == (32, 32, 3) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(spaces)
    name = next(iter(editor.directions))
    assert np.array_equal(editor.render(editor.edit(session, {name: 0.0})), pictures[-1])
    assert not np.array_equal(editor.render(editor.edit(session, {name: 2.0})), pictures[-1])
    if kind != "clcae":
        torch.testing.assert_close(session.inversion.w, session.inversion.ws.mean(1))
        with pytest.raises(DirectionError, match=r"no space 'w'; have: w\+"):
            editor.enter(session, "w")
    refined = editor.optimise(session, 4)
    assert refined.inversion.steps == (12 if kind == "clcae" else 8)
    assert editor.spaces(refined) == (("w", "w+", "f") if kind == "clcae" else ("w", "w+"))
    assert editor.render(editor.enter(refined, spaces[-1])).shape == (32, 32, 3)


def test_an_edit_in_f_is_the_formulas(sources, astronaut):
    editor = open_editor(sources["clcae"], engine="torch")
    with editor.detector:
        session = editor.invert(astronaut)
    found, synthesis = session.inversion, editor.generator.synthesis
    ws_hat = editor.directions.apply(found.ws, {next(iter(editor.directions)): 1.5})
    a, (a_hat, below) = synthesis.features(found.ws, 16), synthesis.lower(ws_hat, 16)
    torch.testing.assert_close(found.f.a, a, atol=1e-4, rtol=1e-3)
    img = synthesis.upper(found.f.code + a_hat - a, below, ws_hat, shown=a_hat)
    wanted = ((img.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    drawn = editor.decoder.features.render(ws_hat, found.f)
    assert (drawn.float() - wanted).abs().max() <= 1


def test_an_invented_face_gets_its_f_when_it_is_refined(sources, generator):
    editor = open_editor(sources["clcae"], engine="torch")
    sample = editor.sample(3)
    assert editor.spaces(sample) == ("w", "w+")
    assert editor.spaces(editor.optimise(sample, 2)) == ("w", "w+", "f")
    editor.detector.close()
    model = load_published(sources["clcae"], generator)
    plain = PublishedInverter(model, generator, engine="torch")
    plain.prepare()
    assert plain.report == model.report
    pixels = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    assert plain.invert(pixels).f is None  # nothing here could draw it
    start = Inversion(w=generator.w_avg[None], ws=generator.broadcast(generator.w_avg[None]))
    assert plain.optimise(pixels, start, 1).steps == 2
    with pytest.raises(ShapeError, match="pixels"):
        plain.invert(pixels[:, :16])


def test_an_encoder_of_no_numbers_is_refused_by_name(generator, tmp_path):
    tensors = files.filled(files.toy_shapes("psp"))
    tensors["latlayer2.bias"][0] = float("nan")
    torch.save(files.tree("psp", tensors, generator), tmp_path / "lost.pt")
    with pytest.raises(CheckpointError, match=r"latlayer2\.bias of \d+ tensors hold NaN or infinity"):
        load_published(tmp_path / "lost.pt", generator)


def test_an_encoder_that_does_not_fit_is_refused_and_its_generator_still_opens(generator, tmp_path, capsys):
    tensors = files.filled(files.toy_shapes("psp"))
    del tensors["latlayer2.bias"]
    torch.save(files.tree("psp", tensors, generator), tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"1 missing \(latlayer2.bias\).*--generator-only"):
        open_editor(tmp_path / "odd.pt", engine="torch")
    arguments = ["convert", str(tmp_path / "odd.pt"), "--out", str(tmp_path / "out"), "--generator-only"]
    assert stylegan2_main(arguments) == 0
    assert "encoder: none" in capsys.readouterr().out
    editor = open_editor(tmp_path / "out", engine="torch")
    editor.detector.close()
    assert not editor.has_encoder
    assert "it has no encoder" in editor.card.text


def test_a_damaged_encoder_is_named(sources):
    bundle = load_bundle(sources["psp"])
    bundle.inverter_path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"inverter\.safetensors: damaged: sha256"):
        load_bundle(bundle.folder)
    assert load_bundle(sources["psp"]) == bundle  # converted again


def test_the_command_prints_the_report(sources, tmp_path, capsys):
    assert main([str(sources["clcae"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "CLCAE encoder, 8 styles, sees 256 x 256 px"
    assert lines[1].startswith("611 of 611 encoder tensors, 69 of 69 decoder tensors, missing: none")
    assert lines[-1].startswith("generator's w_avg: computed: mean of mapping(z) over 10,000 z of seed 0")
    torch.save({"state_dict": files.filled(files.contrastive_latent(64, 48))}, tmp_path / "latent.pt")
    assert main([str(tmp_path / "latent.pt")]) == 0
    assert capsys.readouterr().out.startswith("44 of 44 tensors of the CLCAE contrastive latent encoder")
    assert main([str(tmp_path / "none.pt")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_settings_of_other_files_are_none():
    assert kept_settings({}) == {}
    assert kept_settings({"inverter": "{"}) == {}


def test_the_means_of_a_computed_generator_survive_the_bundle(sources):
    bundle = load_bundle(sources["clcae"])
    generator = load_generator(bundle.generator_path)
    assert torch.equal(load_published(bundle.inverter_path, generator).w_avg, generator.w_avg)


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_encoder_is_the_same_in_onnx(kind, sources, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path / "onnx"
    assert inversion_main(["export", str(sources[kind]), "--out", str(out)]) == 0
    bundle = load_bundle(sources[kind])
    generator = load_generator(bundle.generator_path)
    model = load_published(bundle.inverter_path, generator)
    model.draw_mean(generator)
    wanted = {"mapping", "synthesis", "encoder"} | (
        {"activation", "feature_synthesis"} if model.has_f else set()
    )
    assert {file.stem for file in out.glob("*.onnx")} == wanted

    def run(name, **inputs):
        session = onnxruntime.InferenceSession(str(out / f"{name}.onnx"))
        return [torch.from_numpy(x) for x in session.run(None, {k: v.numpy() for k, v in inputs.items()})]

    img = torch.rand(2, 3, *model.config.in_size) * 2 - 1
    # Random weights enlarge what float32 rounds away: to judge float32 of another kind, it takes better.
    exact = copy.deepcopy(model).double()
    expected = [x.float() for x in exact.latents(exact.invert_seen(img.double()))]
    found = run("encoder", img=img)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    if not model.has_f:
        return
    _, ws, f = expected
    ws_hat = ws + 0.3 * torch.randn(ws.shape[-1])
    (a,) = run("activation", ws=ws)
    (drawn,) = run("feature_synthesis", ws_hat=ws_hat, f=f, a=a)
    synthesis, side = generator.synthesis, model.config.f_resolution
    before, (after, below) = synthesis.lower(ws, side)[0], synthesis.lower(ws_hat, side)
    truth = synthesis.upper(f + after - before, below, ws_hat, shown=after).clamp(-1, 1)
    torch.testing.assert_close(drawn, truth, atol=1e-3, rtol=0)
