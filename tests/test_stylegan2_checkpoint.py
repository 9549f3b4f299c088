import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from stylegan2.bundle import DEFAULT_BUNDLE, load_bundle
from stylegan2.checkpoint import file_sha256, from_rosinality, load_generator, save_generator
from stylegan2.errors import CheckpointError

# The layout's own words for the tiny generator, written here by hand.
ROSINALITY = {
    "synthesis.b4.const": "input.input", "mapping.w_avg": "latent_avg",
    "mapping.fc": "style.", "synthesis.b4.conv1": "conv1", "synthesis.b4.torgb": "to_rgb1",
    "synthesis.b8.conv0": "convs.0", "synthesis.b8.conv1": "convs.1", "synthesis.b8.torgb": "to_rgbs.0",
    "synthesis.b16.conv0": "convs.2", "synthesis.b16.conv1": "convs.3", "synthesis.b16.torgb": "to_rgbs.1",
    "synthesis.b32.conv0": "convs.4", "synthesis.b32.conv1": "convs.5", "synthesis.b32.torgb": "to_rgbs.2",
}  # fmt: skip
LEAVES = {
    "weight": "conv.weight", "bias": "activate.bias", "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias", "noise_strength": "noise.weight",
}  # fmt: skip
NOISES = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1"]


def write_rosinality(generator):
    """The generator's weights under rosinality's names and shapes."""
    state = {}
    for name, value in generator.state_dict().items():
        if name.endswith("noise_const"):
            k = NOISES.index(name.removeprefix("synthesis.").removesuffix(".noise_const"))
            state[f"noises.noise_{k}"] = value[None, None]
        elif name.startswith("mapping.fc"):
            number, leaf = name.removeprefix("mapping.fc").split(".")
            state[f"style.{int(number) + 1}.{leaf}"] = value
        elif name in ROSINALITY:
            state[ROSINALITY[name]] = value if value.ndim == 1 else value[None]
        else:
            block, leaf = ".".join(name.split(".")[:3]), ".".join(name.split(".")[3:])
            theirs = LEAVES[leaf] if leaf != "bias" or not block.endswith("torgb") else "bias"
            shape = {"weight": (1, *value.shape), "noise_strength": (1,)}.get(leaf, value.shape)
            shape = (1, 3, 1, 1) if theirs == "bias" else shape
            state[f"{ROSINALITY[block]}.{theirs}"] = value.reshape(shape)
    state["convs.0.conv.blur.kernel"] = torch.ones(4, 4)
    state["to_rgbs.0.upsample.kernel"] = torch.ones(4, 4)
    return state


def test_our_layout_round_trips(tiny_generator, tmp_path):
    save_generator(tiny_generator, tmp_path / "g.safetensors", dtype=torch.float32)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.config == tiny_generator.config
    z = torch.randn(2, 32)
    assert torch.equal(loaded(z), tiny_generator(z))


def test_rosinality_layout_gives_the_same_pictures(tiny_generator, tmp_path):
    save_file({k: v.clone() for k, v in write_rosinality(tiny_generator).items()}, tmp_path / "r.safetensors")
    loaded = load_generator(tmp_path / "r.safetensors")
    z = torch.randn(2, 32)
    torch.testing.assert_close(loaded(z), tiny_generator(z), atol=1e-5, rtol=0)


def test_an_unknown_rosinality_entry_is_named(tiny_generator):
    state = {**write_rosinality(tiny_generator), "convs.0.surprise": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"unknown entry 'convs\.0\.surprise'"):
        from_rosinality(state)


def test_rosinality_without_mean_is_refused(tiny_generator):
    state = write_rosinality(tiny_generator)
    del state["latent_avg"]
    with pytest.raises(CheckpointError, match="no entry 'latent_avg'"):
        from_rosinality(state)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>quota exceeded</html>", b"\x08" + bytes(40)])
def test_damaged_weights_are_named(tmp_path, content):
    file = tmp_path / "g.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"g\.safetensors: not a readable safetensors file"):
        load_generator(file)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_generator(tmp_path / "none.safetensors")


def test_truncated_weights_are_named(tiny_generator, tmp_path):
    file = tmp_path / "g.safetensors"
    save_generator(tiny_generator, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
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
        "name": "tiny", "resolution": 32, "alignment": {"scale": 1.0, "center": 0.1}, "licence": "own",
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


@pytest.mark.parametrize("change", [{"resolution": "wide"}, {"files": {}}, {"alignment": {"zoom": 1}}])
def test_a_damaged_manifest_is_refused(tiny_generator, tmp_path, change):
    write_bundle(tmp_path, tiny_generator, **change)
    with pytest.raises(CheckpointError, match=r"bundle\.yaml: damaged or incomplete"):
        load_bundle(tmp_path)


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no bundle\.yaml there"):
        load_bundle(tmp_path)


@pytest.mark.weights
def test_raw_and_bundled_weights_give_the_same_picture(shared):
    raw = load_generator(shared / "models" / "face128_generator.safetensors")
    bundled = load_generator(load_bundle(DEFAULT_BUNDLE).generator_path)
    z = torch.randn(1, 512, generator=torch.manual_seed(0))
    torch.testing.assert_close(bundled(z), raw(z), atol=1e-4, rtol=0)
