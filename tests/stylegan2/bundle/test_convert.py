import pytest
import torch
import yaml
from safetensors.torch import load_file

from stylegan2.bundle import conversion
from stylegan2.bundle.checkpoint import file_sha256, load_generator, save_generator
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.errors import CheckpointError
from stylegan2.layouts.loading import load_any_generator
from tests.helpers import layout_writers as write


@pytest.fixture(scope="module")
def source():
    return write.small_generator()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of each test."""
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


@pytest.fixture
def rosinality_file(source, tmp_path):
    file = tmp_path / "face.pt"
    torch.save({"g_ema": write.rosinality(source), "latent_avg": source.w_avg}, file)
    return file


def assert_same_weights(path, source):
    generator = load_generator(path)
    for name, value in source.state_dict().items():
        assert torch.equal(generator.state_dict()[name], value), name


def test_a_file_of_another_project_is_loaded(source, rosinality_file):
    loaded = load_any_generator(rosinality_file)
    assert (loaded.layout, loaded.facts["file"]) == ("rosinality", "face.pt")
    assert_same_weights(rosinality_file, source)


def test_a_file_of_the_psp_family_is_loaded(source, tmp_path):
    encoder = {"input_layer.0.weight": torch.ones(4, 3, 3, 3)}
    opts = {"output_size": 32, "device": torch.device("cpu")}
    torch.save(write.psp(source, encoder, opts=opts, latent_avg=source.w_avg), tmp_path / "psp.pt")
    assert load_any_generator(tmp_path / "psp.pt").layout == "psp"
    assert_same_weights(tmp_path / "psp.pt", source)


def test_a_weights_file_is_a_bundle(source, rosinality_file, cache):
    bundle = load_bundle(rosinality_file)
    assert (bundle.name, bundle.resolution, bundle.encoder_path) == ("face", 32, None)
    assert bundle.source_sha256 == file_sha256(rosinality_file)
    assert bundle.crop_config == CropConfig(scale=1.0, center=0.1)
    assert bundle.licence == "unknown: see where the file came from"
    assert bundle.folder == cache / f"{file_sha256(rosinality_file)}-{conversion.CONVERSION_VERSION}"
    assert {value.dtype for value in load_file(bundle.generator_path).values()} == {torch.float32}
    assert_same_weights(bundle.generator_path, source)
    origin = yaml.safe_load((bundle.folder / "bundle.yaml").read_text())["source"]
    assert origin == {
        "file": "face.pt",
        "container": "torch-zip",
        "layout": "rosinality",
        "w_avg": "file",
        "notes": [],
        "sha256": file_sha256(rosinality_file),
    }


def test_a_file_is_converted_once(rosinality_file, monkeypatch):
    first = load_bundle(rosinality_file)
    monkeypatch.setattr(conversion, "convert_file", None)
    renamed = rosinality_file.rename(rosinality_file.with_name("other.pt"))
    assert load_bundle(renamed) == first


def test_half_a_conversion_is_never_taken_for_a_bundle(source, rosinality_file, cache, monkeypatch):
    def stop(folder, *_, **__):
        folder.mkdir()
        (folder / "generator.safetensors").write_bytes(b"half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "save_bundle", stop)
        with pytest.raises(CheckpointError, match="no space left"):
            load_bundle(rosinality_file)
    assert list(cache.iterdir()) == []
    assert_same_weights(load_bundle(rosinality_file).generator_path, source)


def test_a_damaged_conversion_is_made_again(source, rosinality_file):
    bundle = load_bundle(rosinality_file)
    bundle.generator_path.write_bytes(b"damaged")
    again = load_bundle(rosinality_file)
    assert again == bundle
    assert_same_weights(again.generator_path, source)


def test_two_conversions_at_once_agree(source, rosinality_file, monkeypatch):
    convert = conversion.convert_file

    def convert_beside_another(path, folder):
        with monkeypatch.context() as patch:
            patch.setattr(conversion, "convert_file", convert)
            load_bundle(path)
        return convert(path, folder)

    monkeypatch.setattr(conversion, "convert_file", convert_beside_another)
    assert_same_weights(load_bundle(rosinality_file).generator_path, source)


def test_a_cache_that_cannot_be_written_is_named(rosinality_file, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="CLCAE_CACHE_DIR names another folder"):
        load_bundle(rosinality_file)


def test_the_generator_of_a_bundle_is_that_bundle(source, tmp_path, cache):
    crop_config = CropConfig(scale=0.7, center=0.3)
    save_bundle(tmp_path / "own", source, name="own", crop_config=crop_config, licence="own")
    save_generator(source, tmp_path / "own" / "another.safetensors")
    assert load_bundle(tmp_path / "own" / "generator.safetensors") == load_bundle(tmp_path / "own")
    assert load_bundle(tmp_path / "own" / "another.safetensors").crop_config == CropConfig()
    assert len(list(cache.iterdir())) == 1


def test_a_bundle_of_our_own_stays_in_half_precision(source, tmp_path):
    save_bundle(tmp_path / "own", source, name="own", crop_config=CropConfig(), licence="own")
    stored = load_file(tmp_path / "own" / "generator.safetensors")
    assert {value.dtype for name, value in stored.items() if name != "mapping.w_avg"} == {torch.float16}
    assert "source" not in yaml.safe_load((tmp_path / "own" / "bundle.yaml").read_text())


def test_a_file_without_a_generator_is_no_bundle(tmp_path):
    torch.save({"state_dict": {"image_projection.a": torch.ones(1)}, "opts": {}}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="no generator in it; it holds CLCAE contrastive image encoder"):
        load_bundle(tmp_path / "c.pt")


def test_a_converted_bundle_has_the_name_and_licence_that_are_given(source, rosinality_file, tmp_path):
    loaded = conversion.convert_file(rosinality_file, tmp_path / "out", name="Faces", licence="CC0")
    assert loaded.layout == "rosinality"
    bundle = load_bundle(tmp_path / "out")
    assert (bundle.name, bundle.licence) == ("Faces", "CC0")
    assert_same_weights(bundle.generator_path, source)


def test_a_folder_with_something_in_it_needs_force(rosinality_file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    conversion.convert_file(rosinality_file, out)
    with pytest.raises(CheckpointError, match="out: not empty; --force writes into it"):
        conversion.convert_file(rosinality_file, out)
    conversion.convert_file(rosinality_file, out, name="again", force=True)
    assert load_bundle(out).name == "again"
    with pytest.raises(CheckpointError, match="is a file; a bundle is a folder"):
        conversion.convert_file(rosinality_file, rosinality_file, force=True)
    with pytest.raises(CheckpointError, match="cannot be written"):
        conversion.convert_file(rosinality_file, rosinality_file / "inside")


def test_the_mean_of_w_may_come_from_the_generators_own_file(source, tmp_path):
    bare, whole, other = (tmp_path / name for name in ("bare.pt", "whole.pt", "other.pt"))
    torch.save({"g_ema": write.rosinality(source)}, bare)
    torch.save({"g_ema": write.rosinality(source), "latent_avg": source.w_avg}, whole)
    changed = {name: value * 1.5 for name, value in write.rosinality(source).items()}
    torch.save({"g_ema": changed, "latent_avg": source.w_avg}, other)
    computed = conversion.convert_file(bare, tmp_path / "computed")
    assert not torch.equal(computed.generator.w_avg, source.w_avg)
    loaded = conversion.convert_file(bare, tmp_path / "own", w_avg_from=whole)
    assert loaded.w_avg_source == "from whole.pt"
    assert_same_weights(load_bundle(tmp_path / "own").generator_path, source)
    with pytest.raises(CheckpointError, match=r"other\.pt: of another generator"):
        conversion.convert_file(bare, tmp_path / "x", w_avg_from=other)
    with pytest.raises(CheckpointError, match=r"bare\.pt: has no mean of W either"):
        conversion.convert_file(bare, tmp_path / "x", w_avg_from=bare)
    assert not (tmp_path / "x").exists()
