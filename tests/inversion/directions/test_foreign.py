import pickle
from types import MappingProxyType

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inversion.__main__ import main
from inversion.directions import foreign as foreign_directions
from inversion.directions.bank import DirectionBank, find_directions, imported_root, load_directions
from inversion.directions.errors import DirectionError
from inversion.directions.foreign import read_directions
from inversion.directions.known import KNOWN_FILES, KnownEdit, KnownFile
from inversion.directions.linear import apply_direction
from inversion.directions.target import DirectionTarget
from inversion.directions.writing import save_directions
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError

SHA = "ab" * 32
W, LAYERS = 32, 8  # of the tiny generator


@pytest.fixture(scope="module")
def target(tiny_generator):
    return DirectionTarget(tiny_generator, SHA)


@pytest.fixture(scope="module")
def forced(tiny_generator):
    return DirectionTarget(tiny_generator, SHA, force=True)


def saved(path, value):
    if path.suffix == ".npy":
        np.save(path, value.numpy() if isinstance(value, torch.Tensor) else value)
    elif path.suffix == ".npz":
        np.savez(path, **value)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path)
    return path


def pca(count=12, width=W):
    """As e4e stores it: `comp` with strides (1, count, count)."""
    vectors = torch.linalg.qr(torch.randn(width, width))[0][:count]
    comp = vectors.T.contiguous().T.reshape(count, 1, width).as_strided((count, 1, width), (1, count, count))
    comp.copy_(vectors[:, None])
    assert not comp.is_contiguous()
    return {"mean": torch.randn(1, width), "comp": comp, "std": torch.linspace(3, 1, count)}


def ganspace_edit(**changes):
    vector = F.normalize(torch.randn(1, W)).numpy()
    return {
        "name": "Rotate", "sigma_range": 2.0, "component_index": 4, "act_comp": vector, "lat_comp": vector,
        "latent_space": "W", "act_stdev": np.float32(1), "lat_stdev": np.float32(1.5),
        "model_name": "StyleGAN2", "output_class": "dogs", "decomposition": {"n": 1}, "edit_type": "latent",
        "truncation": 0.7, "edit_start": 1, "edit_end": 4, "example_seed": 3, **changes,
    }  # fmt: skip


def known(monkeypatch, path, resolution, *edits):
    entry = KnownFile(title="a known file", img_resolution=resolution, edits=edits)
    monkeypatch.setattr(foreign_directions, "KNOWN_FILES", MappingProxyType({file_sha256(path)[:12]: entry}))


def deviation(generator, vector):
    with torch.no_grad():
        return (generator.sample_w(8192, seed=0) @ vector).std().item()


@pytest.mark.parametrize("shape", [(W,), (1, W), (1, LAYERS, W), (1, LAYERS * W), (1, 18, W), (18 * W,)])
@pytest.mark.parametrize("ending", [".pt", ".npy"])
def test_equal_rows_are_one_vector(target, tmp_path, shape, ending):
    vector = torch.randn(W)
    rows = vector if np.prod(shape) == W else vector.repeat(int(np.prod(shape)) // W)
    (edit,) = read_directions(saved(tmp_path / f"smile{ending}", rows.reshape(shape)), target)
    assert (edit.name, edit.label, edit.layers, edit.range) == ("smile", "Smile", (0, LAYERS), (-3.0, 3.0))
    torch.testing.assert_close(edit.direction, F.normalize(vector, dim=0))
    assert edit.sigma == pytest.approx(deviation(target.generator, edit.direction), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, LAYERS, W), (1, LAYERS * W), (LAYERS, W)])
def test_rows_that_differ_are_a_direction_per_layer(target, tmp_path, shape):
    rows = torch.randn(LAYERS, W) / 8
    rows[3] = 0
    (edit,) = read_directions(saved(tmp_path / "a_boundary.npy", rows.reshape(shape)), target)
    torch.testing.assert_close(edit.direction, rows / rows.norm(dim=1).max())
    ws = torch.randn(2, LAYERS, W)
    torch.testing.assert_close(
        apply_direction(ws, edit, 1.5) - ws,
        (1.5 * edit.sigma * edit.direction).expand(2, -1, -1),
        atol=1e-5,
        rtol=1e-4,
    )
    units = [(deviation(target.generator, row), (row**2).sum().item()) for row in edit.direction]
    expected = (sum(s**2 for s, _ in units) / sum(n for _, n in units)) ** 0.5
    assert edit.sigma == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(LAYERS, W), (1, LAYERS, W), (1, LAYERS * W)])
@pytest.mark.parametrize("kind", ["W+", "W"])
def test_a_projected_latent_is_doubted(target, forced, tmp_path, shape, kind):
    generator = target.generator
    w = generator.sample_w(1 if kind == "W" else LAYERS, seed=3)
    latent = w.expand(LAYERS, W).clone()
    path = saved(tmp_path / "projected_w.npy", latent.reshape(shape))
    with pytest.raises(DirectionError, match="a latent, it seems, and no direction; --force"):
        read_directions(path, target)
    assert len(read_directions(path, forced)) == 1
    # A step between two latents is a direction, whatever its length.
    step = generator.sample_w(1, seed=4) - generator.sample_w(1, seed=5)
    (edit,) = read_directions(saved(tmp_path / "step.npy", 3 * step), target)
    torch.testing.assert_close(edit.direction, F.normalize(step[0], dim=0))


def test_a_pca_file_sets_coordinates(target, tmp_path):
    tree = pca()
    edits = read_directions(saved(tmp_path / "dogs_pca.pt", tree), target)
    assert [edit.name for edit in edits] == [f"dogs_pca-{i}" for i in range(1, 11)]
    assert edits[3].label == "Component 4"
    ws, strength = torch.randn(3, LAYERS, W), -2.5
    for i, edit in enumerate(edits):
        comp, std = tree["comp"][i, 0], tree["std"][i]
        coord = (ws[:, 0] - tree["mean"]) @ comp / std
        delta = ((strength - coord) * std)[:, None] * comp
        once = apply_direction(ws, edit, strength)
        torch.testing.assert_close(once, ws + delta[:, None], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(apply_direction(once, edit, strength), once, atol=1e-5, rtol=1e-4)
    assert torch.equal(apply_direction(ws, edits[0], 0), ws)


def test_known_components_have_names_layers_and_ranges(target, tmp_path, monkeypatch):
    path, tree = tmp_path / "faces.pt", pca()
    saved(path, tree)
    eyes = KnownEdit(name="eyes", label="Eyes", group="Face", component=7, layers=(2, 3), published=20)
    hair = KnownEdit(name="hair", label="Hair", group="Face", component=2, layers=(0, 4), published=-2)
    known(monkeypatch, path, 32, eyes, hair)
    first, second = read_directions(path, target)
    assert (first.name, first.layers, first.range, first.high) == (
        "eyes",
        (2, 3),
        (-20.0, 20.0),
        "as published",
    )
    assert (second.range, second.low, second.high) == ((-3.0, 3.0), "as published", "the other")
    torch.testing.assert_close(first.direction, tree["comp"][7, 0])
    ws = torch.randn(1, LAYERS, W)
    changed = (apply_direction(ws, first, 20) - ws).abs().sum(2)[0].nonzero().flatten()
    assert changed.tolist() == [2]


def test_known_vectors_have_names(target, tmp_path, monkeypatch):
    path = saved(tmp_path / "x.pt", torch.randn(1, W))
    known(monkeypatch, path, 32, KnownEdit(name="age", label="Age", group="Person"))
    (edit,) = read_directions(path, target)
    assert (edit.name, edit.label, edit.group) == ("age", "Age", "Person")


def test_known_files_are_refused_by_generators_of_another_size(target, forced, tmp_path, monkeypatch):
    path = saved(tmp_path / "x.pt", pca())
    known(monkeypatch, path, 1024, KnownEdit(name="a", label="A", group="G", layers=(9, 12)))
    with pytest.raises(
        DirectionError, match=r"made for a generator of 1024 px; this one draws 32 px; --force"
    ):
        read_directions(path, target)
    assert read_directions(path, forced)[0].layers == (7, 8)
    with pytest.raises(DirectionError, match="of churches, made for a generator of 256 px"):
        read_directions(saved(tmp_path / "church_pca.pt", pca()), target)


def test_the_tables_of_known_files_are_sound():
    for start, file in KNOWN_FILES.items():
        layers = 2 * file.img_resolution.bit_length() - 4
        assert len(start) == 12
        for edit in file.edits:
            assert edit.layers is None or 0 <= edit.layers[0] < edit.layers[1] <= layers
            assert 0 <= edit.component < 80


def test_an_edit_of_ganspace_is_an_offset(target, tmp_path):
    tree = ganspace_edit()
    (edit,) = read_directions(saved(tmp_path / "e.pkl", tree), target)
    assert (edit.name, edit.range, edit.layers, edit.sigma) == (
        "Rotate",
        (-2.0, 2.0),
        (1, 4),
        pytest.approx(1.5),
    )
    assert (edit.low, edit.high) == ("one way", "as published")
    (other,) = read_directions(saved(tmp_path / "f.pkl", ganspace_edit(name=" ", sigma_range=-2.0)), target)
    assert (other.name, other.low, other.range) == ("f", "as published", (-2.0, 2.0))
    ws = torch.randn(1, LAYERS, W)
    expected = ws.clone()
    expected[:, 1:4] += 2 * 1.5 * torch.from_numpy(tree["lat_comp"])
    torch.testing.assert_close(apply_direction(ws, edit, 2), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": "StyleGAN"}, r"a GANSpace edit of StyleGAN \(dogs\); must be of StyleGAN2"),
        ({"model_name": "BigGAN-512"}, "a GANSpace edit of BigGAN-512"),
        ({"model_name": "ProGAN"}, "a GANSpace edit of ProGAN"),
        ({"latent_space": "Z"}, "of space Z; edits here move W"),
        ({"edit_type": "activation"}, "of type 'activation'"),
        ({"output_class": "ffhq"}, "made for a generator of 1024 px; this one draws 32 px"),
    ],
)
def test_edits_of_other_models_are_refused_by_name(target, forced, tmp_path, changes, message):
    path = saved(tmp_path / "e.pkl", ganspace_edit(**changes))
    with pytest.raises(DirectionError, match=message):
        read_directions(path, target)
    assert len(read_directions(path, forced)) == 1


@pytest.mark.parametrize(
    "changes", [{"edit_start": 9}, {"lat_stdev": np.float32(0)}, {"sigma_range": "wide"}]
)
def test_edits_that_make_no_sense_are_refused(forced, tmp_path, changes):
    with pytest.raises(DirectionError, match="GANSpace edit"):
        read_directions(saved(tmp_path / "e.pkl", ganspace_edit(**changes)), forced)


def test_a_cache_of_ganspace_is_read_by_its_name(target, tmp_path):
    tree = pca()
    arrays = {"lat_comp": tree["comp"], "lat_mean": tree["mean"], "lat_stdev": tree["std"]}
    arrays = {name: value.numpy() for name, value in arrays.items()} | {"act_comp": tree["comp"].numpy()}
    edits = read_directions(saved(tmp_path / "stylegan2-dogs_style_ipca_c80_n1000000_w.npz", arrays), target)
    assert len(edits) == 10
    torch.testing.assert_close(edits[1].mean, tree["mean"][0])
    for name, message in (
        ("stylegan2-dogs_style_ipca_c80.npz", "space Z"),
        ("biggan_512_w.npz", "does not begin with 'stylegan2'"),
        ("stylegan2-car_style_w.npz", "a generator of 512 px"),
    ):
        with pytest.raises(DirectionError, match=message):
            read_directions(saved(tmp_path / name, arrays), target)


def test_float64_vectors_are_of_other_generators(target, tmp_path):
    path = saved(tmp_path / "pggan.npy", torch.randn(1, 512).double())
    with pytest.raises(DirectionError, match=r"float64 .* PGGAN and StyleGAN1 only"):
        read_directions(path, target)


@pytest.mark.parametrize("shape", [(1, 512), (1, 9216), (1, 18, 512), (5, 31)])
def test_other_widths_are_refused_even_by_force(forced, tmp_path, shape):
    with pytest.raises(DirectionError, match=r"directions of width \d+; this generator's styles are 32 wide"):
        read_directions(saved(tmp_path / "x.pt", torch.randn(shape)), forced)


def test_other_numbers_of_layers_are_refused(target, forced, tmp_path):
    rows = torch.randn(1, 18, W)
    path = saved(tmp_path / "x.pt", rows)
    with pytest.raises(DirectionError, match="a direction of 18 layers; this generator has 8; --force"):
        read_directions(path, target)
    (edit,) = read_directions(path, forced)
    torch.testing.assert_close(edit.direction, rows[0, :8] / rows[0, :8].norm(dim=1).max())


def test_styleclips_space_is_refused_by_name(forced, tmp_path):
    pair = [["smile"], [np.zeros((1, 512), np.float32) for _ in range(26)]]
    for name, value in (("S", pair), ("fs3.npy", np.zeros((6048, 512), np.float32))):
        with pytest.raises(DirectionError, match="StyleCLIP data of the style space S"):
            read_directions(
                saved((tmp_path / name).with_suffix("") if name == "S" else tmp_path / name, value), forced
            )


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1, W),
        torch.full((1, W), torch.nan),
        torch.ones(1, W, dtype=torch.int64),
        torch.randn(2, LAYERS, W),
        {"a": 1},
        {"mean": torch.ones(1, W), "comp": torch.ones(4, 1, W), "std": torch.ones(4)},
        {"mean": 1, "comp": 2, "std": 3},
    ],
)
def test_what_is_no_direction_is_refused(forced, tmp_path, value):
    with pytest.raises(DirectionError, match=r"x\.pt: "):
        read_directions(saved(tmp_path / "x.pt", value), forced)


def test_a_folder_holds_every_kind(target, tmp_path):
    edits = [
        *read_directions(saved(tmp_path / "one.pt", torch.randn(W)), target),
        *read_directions(saved(tmp_path / "rows.pt", torch.randn(1, LAYERS, W) / 8), target),
        *read_directions(saved(tmp_path / "pca.pt", pca()), target),
    ]
    save_directions(tmp_path / "bank", edits, SHA, made_by="a test")
    bank, ws = load_directions(tmp_path / "bank", SHA, W, LAYERS), torch.randn(1, LAYERS, W)
    strengths = {"one": 1.0, "rows": -2.0, "pca-1": 0.5, "pca-2": 2.0}
    expected = DirectionBank({edit.name: edit for edit in edits}).apply(ws, strengths)
    torch.testing.assert_close(bank.apply(ws, strengths), expected)
    swapped = dict(reversed(strengths.items()))
    torch.testing.assert_close(bank.apply(ws, swapped), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(CheckpointError, match="no folder of directions"):
        save_directions(tmp_path, edits, SHA, made_by="a test")


def test_our_folder_of_another_generator_is_refused(target, tmp_path, tiny_generator):
    edits = read_directions(saved(tmp_path / "one.pt", torch.randn(W)), target)
    save_directions(tmp_path / "bank", edits, SHA, made_by="a test")
    other = DirectionTarget(tiny_generator, "cd" * 32)
    with pytest.raises(DirectionError, match="made for generator abababababab"):
        read_directions(tmp_path / "bank", other)
    assert (
        len(read_directions(tmp_path / "bank", DirectionTarget(tiny_generator, "cd" * 32, force=True))) == 1
    )


def test_banks_are_merged_and_equal_names_told_apart(target, tmp_path):
    for root, folder in (("a", "own"), ("b", "x"), ("b", "y")):
        edits = read_directions(saved(tmp_path / "smile.pt", torch.randn(W)), target)
        save_directions(tmp_path / root / folder, edits, SHA, made_by="a test")
    bank = find_directions(SHA, W, LAYERS, tmp_path / "a", tmp_path / "b")
    assert list(bank) == ["smile", "smile-x", "smile-y"]
    assert bank["smile-y"].label == "Smile (y)"
    assert list(find_directions(SHA, W, LAYERS, tmp_path / "b")) == ["smile", "smile-y"]


@pytest.fixture
def model(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))
    save_bundle(tmp_path / "m", tiny_generator, name="Tiny", crop_config=CropConfig(), licence="none")
    return tmp_path / "m"


def test_the_command_writes_what_the_app_finds(model, tmp_path, capsys):
    file = saved(tmp_path / "glad.pt", torch.randn(1, W))
    command = ["directions", str(file), "--model", str(model), "--name", "joy"]
    assert main([*command, "--layers", "0:4", "--range", "-2:4"]) == 0
    out = capsys.readouterr().out
    assert "joy: one vector, offset, layers 0:4, -2 to 4 x" in out
    assert "from glad.pt" in out
    sha = load_bundle(model).generator_sha256
    assert (imported_root() / f"glad-{sha[:8]}" / "manifest.yaml").is_file()
    bank, ws = find_directions(sha, W, LAYERS), torch.randn(1, LAYERS, W)
    moved = (bank.apply(ws, {"joy": 4.0}) - ws).norm(dim=2)[0]
    torch.testing.assert_close(moved, 4 * bank["joy"].sigma * torch.tensor([1.0] * 4 + [0.0] * 4))
    assert main(command) == 0  # again, into the same folder
    assert main([*command, "--out", str(tmp_path / "here")]) == 0
    assert find_directions(sha, W, LAYERS, tmp_path)["joy"].layers == (0, LAYERS)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--layers", "0:9"], "--layers: 0:9; must lie within 0:8"),
        (["--layers", "0.5:9"], "--layers: '0.5:9'; must be two whole numbers"),
        (["--range", "1:3"], "--range: 1:3; must hold 0"),
        (["--range", "-3"], "--range: '-3'; must be two numbers"),
        (["glad.pt"], "glad: in several of the files"),
        (["wide.pt"], "wide.pt: directions of width 512"),
        (["none.pt"], "none.pt: "),
        (["rows.pt"], "rows.pt: a direction of 18 layers"),
        (["pca.pt", "--name", "x"], "--name: for 11 directions"),
    ],
)
def test_mistakes_end_with_one_line(model, tmp_path, monkeypatch, capsys, extra, message):
    monkeypatch.chdir(tmp_path)
    values = {
        "glad": torch.randn(1, W),
        "wide": torch.randn(1, 512),
        "rows": torch.randn(18, W),
        "pca": pca(),
    }
    for name, value in values.items():
        saved(tmp_path / f"{name}.pt", value)
    files = [word for word in extra if word.endswith(".pt")]
    rest = [word for word in extra if word not in files]
    assert main(["directions", "glad.pt", *files, "--model", str(model), *rest]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
