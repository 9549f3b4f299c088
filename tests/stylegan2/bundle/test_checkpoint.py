from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from stylegan2.bundle.checkpoint import (
    as_int8,
    file_sha256,
    in_float,
    load_generator,
    read_safetensors,
    save_generator,
)
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.errors import CheckpointError
from stylegan2.image import to_uint8
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator


def test_our_layout_round_trips(tiny_generator, tmp_path):
    save_generator(tiny_generator, tmp_path / "g.safetensors", dtype=torch.float32)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.config == tiny_generator.config
    z = torch.randn(2, 32)
    assert torch.equal(loaded(z), tiny_generator(z))


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>quota exceeded</html>", b"\x08" + bytes(40)])
def test_damaged_weights_are_named(tmp_path, content):
    file = tmp_path / "g.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"g\.safetensors: not a readable safetensors file"):
        read_safetensors(file)
    with pytest.raises(CheckpointError, match=r"g\.safetensors: "):
        load_generator(file)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_generator(tmp_path / "none.safetensors")


def test_truncated_weights_are_named(tiny_generator, tmp_path):
    file = tmp_path / "g.safetensors"
    save_generator(tiny_generator, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_safetensors(file)
    with pytest.raises(CheckpointError, match=r"g\.safetensors: "):
        load_generator(file)


def test_other_tensors_are_not_a_generator(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"no entry 'synthesis\.b4\.const'"):
        load_generator(tmp_path / "a.safetensors")


def test_a_missing_tensor_is_named(tiny_generator, tmp_path):
    file = tmp_path / "g.safetensors"
    save_generator(tiny_generator, file)
    state = load_file(file)
    del state["synthesis.b8.conv0.weight"]
    save_file(state, file)
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv0\.weight"):
        load_generator(file)


def write_bundle(folder, generator, **changes):
    save_generator(generator, folder / "g.safetensors")
    entry = {"file": "g.safetensors", "sha256": file_sha256(folder / "g.safetensors")}
    data = {
        "name": "tiny", "resolution": 32, "crop": {"scale": 1.0, "center": 0.1}, "licence": "own",
        "files": {"generator": entry},
    }  # fmt: skip
    (folder / "bundle.yaml").write_text(yaml.safe_dump(data | changes))


def test_a_bundle_is_read(tiny_generator, tmp_path):
    write_bundle(tmp_path, tiny_generator)
    bundle = load_bundle(tmp_path)
    assert (bundle.name, bundle.resolution, bundle.encoder_path) == ("tiny", 32, None)
    assert load_generator(bundle.generator_path).img_resolution == 32


def test_a_changed_file_is_refused(tiny_generator, tmp_path):
    write_bundle(tmp_path, tiny_generator)
    with (tmp_path / "g.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r"g\.safetensors: damaged: sha256"):
        load_bundle(tmp_path)


def test_a_missing_file_is_refused(tiny_generator, tmp_path):
    write_bundle(tmp_path, tiny_generator)
    (tmp_path / "g.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing; the bundle lists it as its generator"):
        load_bundle(tmp_path)


def test_a_path_out_of_the_bundle_is_refused(tiny_generator, tmp_path):
    write_bundle(tmp_path, tiny_generator, files={"generator": {"file": "../g.safetensors", "sha256": "0"}})
    with pytest.raises(CheckpointError, match="outside the bundle's folder"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"resolution": "wide"},
        {"resolution": float("inf")},
        {"resolution": True},
        {"files": {}},
        {"files": []},
        {"files": {"generator": {"file": "g" * 300, "sha256": "0"}}},
        {"files": {"generator": {"file": 7, "sha256": "0"}}},
        {"crop": {"zoom": 1}},
        {"crop": {"scale": float("nan")}},
        {"crop": {"scale": -1.0}},
        {"crop": {"center": "low"}},
    ],
    ids=str,
)
def test_a_damaged_manifest_is_refused(tiny_generator, tmp_path, change):
    write_bundle(tmp_path, tiny_generator, **change)
    with pytest.raises(CheckpointError, match=r"bundle\.yaml: damaged or incomplete"):
        load_bundle(tmp_path)


def test_the_limit_of_activations_is_kept_with_the_weights(tiny_generator, tmp_path):
    clamped = Generator(replace(tiny_generator.config, conv_clamp=0.4))
    clamped.load_state_dict(tiny_generator.state_dict())
    save_generator(clamped, tmp_path / "g.safetensors", torch.float32)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.config.conv_clamp == 0.4
    ws = loaded.broadcast(loaded.sample_w(1, seed=0))
    assert torch.equal(loaded.synthesis(ws), clamped.synthesis(ws))
    folded, free = (FoldedSynthesis(g.synthesis).eval() for g in (loaded, tiny_generator))
    wanted = to_uint8(clamped.synthesis(ws))
    assert (folded(ws).int() - wanted.int()).abs().max() <= 1
    assert (free(ws).int() - wanted.int()).abs().max() > 9
    assert repr(folded) != repr(free)  # by which converted graphs are told apart


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no bundle\.yaml there"):
        load_bundle(tmp_path)


@pytest.mark.weights
def test_all_bundled_weights_fit_into_100_megabytes():
    sizes = {path.name: path.stat().st_size for path in DEFAULT_BUNDLE.parent.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 10**8, sizes


@pytest.mark.weights
def test_raw_and_bundled_weights_give_the_same_picture(shared):
    raw = load_generator(shared / "models" / "face128_generator.safetensors")
    bundled = load_generator(load_bundle(DEFAULT_BUNDLE).generator_path)
    z = torch.randn(1, 512, generator=torch.manual_seed(0))
    torch.testing.assert_close(bundled(z), raw(z), atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(tiny_generator, tmp_path, value):
    state = {name: tensor.clone() for name, tensor in tiny_generator.state_dict().items()}
    state["mapping.fc1.weight"][0, 0] = value
    save_file(state, tmp_path / "lost.safetensors")
    said = rf"lost\.safetensors: mapping\.fc1\.weight of {len(state)} tensors hold NaN or infinity"
    with pytest.raises(CheckpointError, match=said):
        load_generator(tmp_path / "lost.safetensors")


def test_bundles_say_by_older_words_how_they_crop_and_what_is_contrastive(tiny_generator, tmp_path):
    crop_config = CropConfig(scale=0.7, center=0.3)
    save_bundle(tmp_path, tiny_generator, name="old", crop_config=crop_config, licence="own")
    (tmp_path / "aligner.safetensors").write_bytes(b"any")
    description = yaml.safe_load((tmp_path / "bundle.yaml").read_text())
    description["alignment"] = description.pop("crop")
    sha256 = file_sha256(tmp_path / "aligner.safetensors")
    description["files"]["aligner"] = {"file": "aligner.safetensors", "sha256": sha256}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(description))
    found = load_bundle(tmp_path)
    assert found.crop_config == crop_config
    assert (found.contrastive_path, found.contrastive_sha256) == (tmp_path / "aligner.safetensors", sha256)


def test_eight_bits_hold_a_matrix_row_by_row():
    weight = torch.randn(5, 3, 3, 3) * torch.tensor([1e-3, 0.1, 1.0, 10.0, 0.0]).view(-1, 1, 1, 1)
    stored = as_int8("conv.weight", weight)
    assert stored["conv.weight"].dtype == torch.int8
    found = in_float({**stored, "conv.bias": torch.ones(5).half()})
    assert set(found) == {"conv.weight", "conv.bias"}
    largest = weight.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    assert ((found["conv.weight"] - weight).abs() <= largest / 254 + 1e-9).all()
