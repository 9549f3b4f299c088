import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from inversion.networks.checkpoint import save_encoder, save_refiners
from inversion.networks.config import EncoderConfig, RefinerConfig
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2 import Generator, GeneratorConfig, save_generator
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.errors import ShapeError
from stylegan2.image import from_uint8, psnr
from tests.helpers.opened import Oracle, known_model
from tests.helpers.pictures import write_shard
from train.__main__ import main
from train.data.pairs import UNSEEN_PAIRS
from train.evaluate.edit_truth import measure_edits, truth_edits
from train.evaluate.evaluate import as_table
from train.evaluate.measure import MetricNetworks, measure, summarise
from train.evaluate.metrics import mean_squared_error, ssim
from train.evaluate.subject import Subject

CPU = torch.device("cpu")


def pixels(n=3, side=16):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, n, side, side, 3), generator=rng, dtype=torch.uint8)


@pytest.fixture
def bundle(tmp_path):
    torch.manual_seed(0)
    channels = {4: 8, 8: 8, 16: 8, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channels=channels)
    folder = tmp_path / "bundle"
    folder.mkdir()
    save_generator(Generator(config), folder / "generator.safetensors")
    encoder = WEncoder(
        EncoderConfig(in_resolution=32, w_dim=8, channels=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1), hidden=8)
    )
    save_encoder(
        encoder.eval(),
        folder / "encoder.safetensors",
        {"training": json.dumps({"losses": ["l2", "identity"]})},
    )
    files = {
        role: {"file": f"{role}.safetensors", "sha256": file_sha256(folder / f"{role}.safetensors")}
        for role in ("generator", "encoder")
    }
    description = {
        "name": "tiny",
        "resolution": 32,
        "crop": {"scale": 0.66, "center": 0.48},
        "licence": "none",
        "files": files,
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(description))
    return folder


@pytest.fixture
def faces(tmp_path):
    path = tmp_path / "faces.tar"
    write_shard(path, pixels(20, 64)[0].numpy())
    return path


def test_psnr_equals_scikit_image_and_a_closed_case():
    a, b = pixels()
    expected = [
        peak_signal_noise_ratio(q.numpy(), p.numpy(), data_range=255) for p, q in zip(a, b, strict=True)
    ]
    assert psnr(a, b).tolist() == pytest.approx(expected)
    assert psnr(torch.full_like(a, 10), torch.full_like(a, 11))[0].item() == pytest.approx(20 * np.log10(255))
    assert torch.isinf(psnr(a, a)).all()


def test_squared_error_is_on_the_unit_range_and_clamped():
    ones = torch.ones(1, 3, 4, 4)
    assert mean_squared_error(-ones, ones).item() == 4
    assert mean_squared_error(3 * ones, ones).item() == 0


def test_ssim_of_equal_shifted_and_unrelated_pictures():
    a, b = pixels(2, 32)
    assert ssim(a, a).tolist() == [1, 1]
    values = ssim(a, (a.float() * 0.5).byte()), ssim(a, b)
    assert (values[0] > values[1] + 0.3).all()


def test_ssim_equals_the_formula_spelled_out_at_one_place():
    a, b = pixels(1, 11)
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(kernel, kernel) / kernel.sum() ** 2
    values = []
    for channel in range(3):
        x, y = (t[0, :, :, channel].double().numpy() for t in (a, b))
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy, vxy = (
            (window * p * q).sum() - m for p, q, m in ((x, x, mx**2), (y, y, my**2), (x, y, mx * my))
        )
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim(a, b).item() == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: psnr(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 5, 3)),
        lambda: mean_squared_error(torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4)),
        lambda: ssim(torch.zeros(1, 16, 16, 3), torch.zeros(1, 16, 17, 3)),
        lambda: ssim(torch.zeros(1, 10, 16, 3), torch.zeros(1, 10, 16, 3)),
    ],
)
def test_pictures_that_do_not_fit_are_refused(call):
    with pytest.raises(ShapeError):
        call()


def test_a_perfect_and_a_black_reconstruction_are_measured_as_such():
    batches = list(torch.split(pixels(5)[0], 2))
    perfect = summarise(measure(lambda img: img, batches, MetricNetworks(), CPU), {"identity": "no file"})
    assert (perfect["l2_median"], perfect["ssim_median"], perfect["count"]) == (0, 1, 5)
    assert perfect["psnr_median"] is None  # infinite, which JSON cannot say
    assert (perfect["identity_median"], perfect["identity_reason"]) == ("n/a", "no file")
    black = summarise(measure(torch.zeros_like, batches, MetricNetworks(), CPU), {})
    squares = (from_uint8(torch.cat(batches)) + 1).square().mean((1, 2, 3))
    assert black["l2_mean"] == pytest.approx(squares.mean().item(), abs=1e-5)


def evaluated(capsys, *arguments):
    engine = () if "--engine" in arguments else ("--engine", "torch")
    assert main(["evaluate", "--json", "--edit-faces", "2", *map(str, (*engine, *arguments))]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_last_line_is_json_with_the_protocol_and_the_w_space(bundle, faces, tmp_path, capsys):
    result = evaluated(capsys, "--data", faces, "--bundle", bundle, "--metrics-dir", tmp_path / "nowhere")
    w = result["spaces"]["w"]
    for name in ("psnr", "l2", "ssim"):
        assert isinstance(w[f"{name}_median"], float)
        assert isinstance(w[f"{name}_mean"], float)
    assert w["count"] == result["protocol"]["faces"] == 20
    assert w["ms_per_face"] > 0
    assert (w["lpips"], w["identity_median"]) == ("n/a", "n/a")
    assert "download" in w["lpips_reason"]
    assert "mobilefacenet_id.onnx: no such file" in w["identity_reason"]
    assert result["protocol"]["noise_mode"] == "const"
    assert "the whole inversion" in result["protocol"]["ms_per_face"]
    assert result["protocol"]["resolution"] == 32
    assert result["protocol"]["identity_also_training_loss"] is True
    assert result["protocol"]["perceptual_also_training_loss"] is False


def test_limit_and_another_encoder_are_obeyed(bundle, faces, tmp_path, capsys):
    torch.manual_seed(5)
    other = WEncoder(
        EncoderConfig(in_resolution=32, w_dim=8, channels=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1), hidden=8)
    )
    other.w_avg.copy_(torch.randn(8))
    save_encoder(other.eval(), tmp_path / "other.safetensors")
    arguments = ("--data", faces, "--bundle", bundle, "--limit", 5)
    ours = evaluated(capsys, *arguments)
    theirs = evaluated(capsys, *arguments, "--encoder", tmp_path / "other.safetensors")
    assert ours["spaces"]["w"]["count"] == 5
    assert ours["spaces"]["w"]["psnr_median"] != theirs["spaces"]["w"]["psnr_median"]
    assert theirs["protocol"]["identity_also_training_loss"] == "unknown"


def test_without_json_a_table_is_printed_and_the_json_can_go_to_a_file(bundle, faces, tmp_path, capsys):
    arguments = ["--data", str(faces), "--bundle", str(bundle), "--limit", "2", "--edit-faces", "0"]
    assert main(["evaluate", *arguments, "--out", str(tmp_path / "measured.json")]) == 0
    assert "psnr_median" in capsys.readouterr().out
    assert json.loads((tmp_path / "measured.json").read_text())["spaces"]["w"]["count"] == 2


def test_the_table_indents_what_is_nested_and_keeps_short_groups_together():
    smile, long = {"attribute": "smile", "retention": 0.9}, {f"measure{i}": i for i in range(20)}
    table = as_table(
        {
            "protocol": {"faces": 2, "edits": ["a", "b"], "left_out": []},
            "retention": {"f": {"by_edit": {"smile": smile}, "long": long}},
        }
    )
    assert table.splitlines() == [
        "protocol:",
        "  faces     2",
        "  edits     a, b",
        "  left_out  none",
        "",
        "retention:",
        "  f:",
        "    by_edit:",
        "      smile  attribute smile, retention 0.9",
        "    long:",
        *(f"      {f'measure{i}':9}  {i}" for i in range(20)),
    ]


def refused(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_evaluated_is_said_in_words(bundle, faces, tmp_path, capsys):
    assert "no such file or folder" in refused(capsys, "--data", tmp_path / "none.tar", "--bundle", bundle)
    assert "must be at least 1" in refused(capsys, "--data", faces, "--bundle", bundle, "--limit", 0)
    for option in ("edit_faces", "retention_faces"):
        flag = f"--{option.replace('_', '-')}"
        assert f"{option}: -1; must be at least 0" in refused(
            capsys, "--data", faces, "--bundle", bundle, flag, -1
        )
    nowhere = ("--out", tmp_path / "none" / "measured.json")
    assert "its folder is not there" in refused(capsys, "--data", faces, "--bundle", bundle, *nowhere)
    arguments = ("--data", faces, "--bundle", bundle, "--encoder")
    assert "no such file; expected an encoder" in refused(capsys, *arguments, tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert "not a readable safetensors file" in refused(capsys, *arguments, tmp_path / "bad.safetensors")
    encoder = WEncoder(EncoderConfig(in_resolution=32, w_dim=8, channels=(8,) * 5, depths=(1,) * 4, hidden=8))
    facts = {"training": json.dumps({"generator_sha256": "0"})}
    save_encoder(encoder, tmp_path / "foreign.safetensors", facts)
    assert "trained for another generator" in refused(capsys, *arguments, tmp_path / "foreign.safetensors")


def test_a_bundle_without_an_encoder_asks_for_one(bundle, faces, capsys):
    description = yaml.safe_load((bundle / "bundle.yaml").read_text())
    del description["files"]["encoder"]
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(description))
    assert "the bundle has no encoder; name one with --encoder" in refused(
        capsys, "--data", faces, "--bundle", bundle
    )


SIZES = {"width": 8, "heads": 2, "f_width": 8, "f_blocks": 1, "f_hidden": 8, "code": 8, "carry_width": 4}


def test_refiners_add_their_spaces_and_edits(bundle, faces, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))
    torch.manual_seed(3)
    refiners = Refiners(
        RefinerConfig(
            in_resolution=32,
            level_channels=(8, 8, 8),
            img_resolution=32,
            w_dim=8,
            num_ws=8,
            f_channels=8,
            f_resolution=16,
            **SIZES,
        )
    ).eval()
    for value in refiners.parameters():
        value.data += 0.05 * torch.randn_like(value)
    save_refiners(refiners, tmp_path / "refiners.safetensors")
    arguments = ("--data", faces, "--bundle", bundle, "--limit", 4)
    plain = evaluated(capsys, *arguments)
    assert set(plain["spaces"]) == {"w"}
    assert set(plain["edits"]) == {"protocol", "none", "w"}
    found = evaluated(capsys, *arguments, "--refiners", tmp_path / "refiners.safetensors")
    assert set(found["spaces"]) == {"w", "w+", "f"}
    assert found["spaces"]["w"]["psnr_median"] == plain["spaces"]["w"]["psnr_median"]
    assert len({values["psnr_median"] for values in found["spaces"].values()}) == 3
    assert set(found["edits"]) == {"protocol", "none", "w", "w+", "f"}
    assert found["edits"]["protocol"]["faces"] == 2
    unfitted = evaluated(capsys, *arguments, "--refiners", tmp_path / "refiners.safetensors", "--no-colours")
    assert [each["protocol"]["colours_fitted"] for each in (found, unfitted)] == [True, False]
    assert unfitted["spaces"]["w+"]["psnr_median"] < found["spaces"]["w+"]["psnr_median"]
    assert unfitted["spaces"]["f"]["psnr_median"] == found["spaces"]["f"]["psnr_median"]
    grid = tmp_path / "grid.png"
    added = ("--refiners", tmp_path / "refiners.safetensors", "--engine", "openvino", "--grid", grid)
    product = evaluated(capsys, *arguments, *added)
    picture = np.array(Image.open(grid))
    assert picture.shape == (20 + 8 * 32, 96 + 6 * 32, 3)
    assert picture[20:, 96:].std() > 5
    assert product["protocol"]["engine"].startswith("OpenVINO cpu")
    assert (found["protocol"]["engine"], found["protocol"]["reference"]) == ("torch cpu float32", "n/a")
    for space in ("w", "w+", "f"):
        exact = found["spaces"][space]["psnr_median"]
        assert product["reference"][space]["psnr_median"] == exact  # beside it
        assert product["spaces"][space]["psnr_median"] == pytest.approx(exact, abs=0.5)
        expected = found["edits"][space]["psnr_median"]
        assert product["edits"][space]["psnr_median"] == pytest.approx(expected, abs=0.5)


def test_a_perfect_inversion_has_no_error_under_any_edit(tiny_generator, tiny_directions):
    """An oracle in the encoder's place, which knows w, draws the truth itself."""
    w = tiny_generator.sample_w(3, seed=UNSEEN_PAIRS, truncation_psi=0.8)

    edits = truth_edits(tiny_generator, tiny_directions)
    assert set(edits) == {
        f"{name}{sign}" for name in ("smile", "age", *(f"component{i}" for i in range(4))) for sign in "+-"
    }
    subject = Subject(model=known_model(tiny_generator, Oracle(w)), directions=tiny_directions)
    counts = []
    found = measure_edits(subject, None, faces=3, count=counts.append)
    assert sum(counts) == 3
    assert found["w"]["psnr_median"] is None  # infinite: equal pictures
    assert found["none"]["psnr_median"] < 40
    assert set(found["w"]["psnr_median_by_edit"]) == set(edits)
    assert found["w"]["identity_median"] == "n/a"


def test_an_edit_moves_the_styles_by_its_strength(tiny_generator, tiny_directions):
    ws = torch.randn(1, 8, 32)
    edit = truth_edits(tiny_generator, tiny_directions)["age-"]
    direction = tiny_directions["age"]
    moved = edit(ws) - ws
    torch.testing.assert_close(moved[0, 0], -1.5 * direction.sigma * direction.direction)
    assert not moved[0, 2:].any()
