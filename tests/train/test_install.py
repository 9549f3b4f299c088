"""Trained files in the bundle that they were trained for."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml

from inversion.networks.checkpoint import (
    load_contrastive_pair,
    load_encoder,
    load_refiners,
    save_contrastive_pair,
    save_encoder,
    save_refiners,
)
from inversion.networks.config import EncoderConfig
from inversion.networks.refiners import Refiners
from inversion.networks.w_encoder import WEncoder
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.image import to_uint8
from stylegan2.settings import settings_from_dict
from tests.helpers.pictures import write_shard
from tests.helpers.refiners import CONFIG
from tests.helpers.training import (
    TINY_REFINERS,
    interrupting,
    tiny_contrastive_pair,
    tiny_generator,
    write_bundle,
)
from train import __main__ as commands
from train.__main__ import main
from train.assemble import build_contrastive
from train.contrastive.config import ContrastiveConfig
from train.encoder.config import InversionConfig
from train.gan.config import GeneratorTrainingConfig
from train.install import Installation, install, plan_installation
from train.refiners.config import RefinementConfig

WIDTHS = {"in_resolution": 32, "w_dim": 16, "channels": [8, 8, 8, 16, 16], "depths": [1, 1, 1, 1]}
PHASE = {"name": "all", "max_steps": 1, "pair_batch": 4}
STAGES = {
    "contrastive": {
        "contrastive": {**WIDTHS, "latent_hidden": 16, "latent_blocks": 1, "embedding_dim": 8},
        "validation_pairs": 4,
        "phases": [PHASE],
    },
    "inversion": {"encoder": {**WIDTHS, "hidden": 32}, "phases": [{**PHASE, "loss": {"latent": 1.0}}]},
    "refiners": {
        "refiners": TINY_REFINERS,
        "phases": [
            {
                **PHASE,
                "real_batch": 2,
                "pair_batch": 0,
                "loss": {"ws": {"l2": 1.0}, "f": {"l2": 1.0}, "edit": {}},
            }
        ],
    },
}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_bundle(folder, generator=tiny_generator())
    return folder


def trained(folder, role, bundle=None, seed=0):
    """A file as training writes it; without a bundle, for another generator."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{role}.safetensors"
    digest = "0" * 64 if bundle is None else file_sha256(bundle / "generator.safetensors")
    facts = {"training": json.dumps({"generator_sha256": digest})}
    torch.manual_seed(seed)
    if role == "encoder":
        config = EncoderConfig(
            in_resolution=32, w_dim=16, channels=(8,) * 5, depths=(1,) * 4, hidden=8 + 8 * seed
        )
        save_encoder(WEncoder(config).eval(), file, facts)
    elif role == "contrastive":
        save_contrastive_pair(tiny_contrastive_pair(), file, facts)
    else:
        save_refiners(Refiners(CONFIG), file, facts)
    return file


def put(bundle, **files):
    return install(Installation(bundle=bundle, files=files))


def roles(bundle):
    return list(yaml.safe_load((bundle / "bundle.yaml").read_text())["files"])


def test_encoder_and_contrastive_pair_are_installed_one_after_the_other(bundle, tmp_path):
    encoder, contrastive = (
        trained(tmp_path / "a", "encoder", bundle),
        trained(tmp_path / "b", "contrastive", bundle),
    )
    before = yaml.safe_load((bundle / "bundle.yaml").read_text())
    assert put(bundle, encoder=encoder) == f"{bundle}: encoder installed"
    assert put(bundle, contrastive=contrastive) == f"{bundle}: contrastive installed"
    found = load_bundle(bundle)
    assert (found.encoder_sha256, found.contrastive_sha256) == (
        file_sha256(encoder),
        file_sha256(contrastive),
    )
    assert (found.encoder_path.parent, found.contrastive_path.parent) == (bundle, bundle)
    load_encoder(found.encoder_path)
    load_contrastive_pair(found.contrastive_path)
    after = yaml.safe_load((bundle / "bundle.yaml").read_text())
    assert after.pop("files").pop("generator") == before.pop("files")["generator"]
    assert after == before
    assert not list(bundle.glob("*.partial"))


def test_an_older_entry_is_replaced_and_a_repetition_changes_nothing(bundle, tmp_path):
    old, new = (trained(tmp_path / str(i), "encoder", bundle, seed=i) for i in range(2))
    put(bundle, encoder=old)
    assert load_encoder(load_bundle(bundle).encoder_path).config.hidden == 8
    for _ in range(2):
        put(bundle, encoder=new)
        assert load_encoder(load_bundle(bundle).encoder_path).config.hidden == 16
    assert roles(bundle) == ["generator", "encoder"]


def test_what_was_called_aligner_before_is_replaced_and_goes(bundle, tmp_path):
    put(bundle, contrastive=trained(tmp_path / "old", "contrastive", bundle))
    (bundle / "contrastive.safetensors").rename(bundle / "aligner.safetensors")
    description = yaml.safe_load((bundle / "bundle.yaml").read_text())
    entry = {**description["files"].pop("contrastive"), "file": "aligner.safetensors"}
    description["files"]["aligner"] = entry
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(description))
    put(bundle, contrastive=trained(tmp_path / "new", "contrastive", bundle, seed=1))
    assert roles(bundle) == ["generator", "contrastive"]
    assert not (bundle / "aligner.safetensors").exists()
    assert load_bundle(bundle).contrastive_path == bundle / "contrastive.safetensors"


def test_the_bundle_can_be_read_after_every_single_change(bundle, tmp_path, monkeypatch):
    put(bundle, encoder=trained(tmp_path / "old", "encoder", bundle))
    new = trained(tmp_path / "new", "encoder", bundle, seed=1)
    replace, seen = Path.replace, []

    def replaced(file, target):
        found = replace(file, target)
        seen.append((Path(target).name, load_bundle(bundle).encoder_sha256))
        return found

    monkeypatch.setattr(Path, "replace", replaced)
    put(bundle, encoder=new)
    assert seen == [
        ("bundle.yaml", None),
        ("encoder.safetensors", None),
        ("bundle.yaml", file_sha256(new)),
    ]


def test_another_encoder_takes_the_refiners_out_and_the_same_one_does_not(bundle, tmp_path):
    first, second = (trained(tmp_path / str(i), "encoder", bundle, seed=i) for i in range(2))
    refiners = trained(tmp_path / "r", "refiners", bundle)
    assert put(bundle, encoder=first, refiners=refiners) == f"{bundle}: encoder and refiners installed"
    assert put(bundle, encoder=first) == f"{bundle}: encoder installed"
    assert load_refiners(load_bundle(bundle).refiners_path)
    assert "its refiners are taken out" in put(bundle, encoder=second)
    assert roles(bundle) == ["generator", "encoder"]
    put(bundle, refiners=refiners)
    put(bundle, contrastive=trained(tmp_path / "a", "contrastive", bundle))
    assert roles(bundle) == ["generator", "encoder", "refiners", "contrastive"]


def test_what_was_trained_for_another_generator_is_refused_and_changes_nothing(bundle, tmp_path):
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}
    fitting = trained(tmp_path / "fitting", "encoder", bundle)
    foreign = trained(tmp_path / "foreign", "contrastive")
    with pytest.raises(CheckpointError, match=f"{foreign}: trained for another generator than that of"):
        put(bundle, encoder=fitting, contrastive=foreign)
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file; expected an encoder"):
        put(bundle, encoder=tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"no bundle\.yaml there"):
        put(tmp_path, encoder=fitting)
    assert {file.name: file.read_bytes() for file in bundle.iterdir()} == before


CLASSES = {"contrastive": ContrastiveConfig, "inversion": InversionConfig, "refiners": RefinementConfig}


def settings(stage, bundle, tmp_path, **run):
    data = {"images": str(tmp_path / "faces.tar"), "validation_fraction": 0.2}
    return {
        **STAGES[stage],
        **({} if stage == "contrastive" else {"data": data}),
        "bundle": str(bundle),
        "run": {"folder": str(tmp_path / stage), **run},
        "hardware": {"device": "cpu", "precision": "float32"},
    }


def plan(stage, bundle, tmp_path, **changes):
    found = settings(stage, bundle, tmp_path, install=True)
    return plan_installation(settings_from_dict({**found, **changes}, CLASSES[stage]))


def test_each_stage_installs_what_it_exports(bundle, tmp_path):
    for stage, role in (("contrastive", "contrastive"), ("inversion", "encoder"), ("refiners", "refiners")):
        files = {role: tmp_path / stage / f"{role}.safetensors"}
        assert plan(stage, bundle, tmp_path) == Installation(bundle=bundle, files=files)
    refiners = {"refiners": tmp_path / "refiners" / "refiners.safetensors"}
    other = tmp_path / "other.safetensors"
    assert plan("refiners", bundle, tmp_path, encoder=str(other)).files == {"encoder": other, **refiners}
    phases = [{**STAGES["refiners"]["phases"][0], "encoder_rate": 0.1}]
    learnt = {"encoder": tmp_path / "refiners" / "encoder.safetensors", **refiners}
    assert plan("refiners", bundle, tmp_path, encoder=str(other), phases=phases).files == learnt


def test_nothing_is_installed_unless_asked_for(bundle, tmp_path):
    for stage, cls in CLASSES.items():
        config = settings_from_dict(settings(stage, bundle, tmp_path), cls)
        assert not config.run.install
        assert plan_installation(config) is None


def test_what_may_not_be_installed_into_is_refused(bundle, tmp_path):
    with pytest.raises(ConfigError, match=r"bundle: .* is the project's own; with run\.install name another"):
        plan("inversion", DEFAULT_BUNDLE / ".." / DEFAULT_BUNDLE.name, tmp_path)
    with pytest.raises(ConfigError, match=r"bundle: .*generator\.safetensors is not a folder; run\.install"):
        plan("inversion", bundle / "generator.safetensors", tmp_path)
    config = settings_from_dict(
        {
            "model": {"name": "discs", "licence": "none"},
            "generator": {"img_resolution": 32, "z_dim": 16, "w_dim": 16},
            "run": {"folder": "r", "install": True},
            "data": {"images": "pictures"},
            "phases": [{"name": "all", "max_steps": 1}],
        },
        GeneratorTrainingConfig,
    )
    with pytest.raises(ConfigError, match=r"run\.install: true, but a generator starts a bundle"):
        plan_installation(config)


def test_three_commands_complete_a_bundle(bundle, tmp_path, capsys):
    generator = tiny_generator()
    write_shard(tmp_path / "faces.tar", to_uint8(generator(torch.randn(20, 16))).numpy())
    for stage in CLASSES:
        file = tmp_path / f"{stage}.yaml"
        file.write_text(yaml.safe_dump(settings(stage, bundle, tmp_path)))
        assert main([stage, "--config", str(file), "--set", "run.install=true"]) == 0
        assert f"{bundle}: " in capsys.readouterr().out
    found = load_bundle(bundle)
    for role, load in (
        ("contrastive", load_contrastive_pair),
        ("encoder", load_encoder),
        ("refiners", load_refiners),
    ):
        load(getattr(found, f"{role}_path"))
    shutil.copytree(bundle, tmp_path / "moved")
    assert load_bundle(tmp_path / "moved").refiners_path == tmp_path / "moved" / "refiners.safetensors"


def test_a_stopped_training_installs_nothing_and_a_finished_one_can_later(bundle, tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings("contrastive", bundle, tmp_path)))
    asked = [
        "contrastive",
        "--config",
        str(file),
        "--set",
        "phases.0.max_steps=2",
        "--set",
        "run.install=true",
    ]
    stopping = lambda config: interrupting(build_contrastive(config), 1)  # noqa: E731
    monkeypatch.setattr(commands, "build_contrastive", stopping)
    assert main(asked) == 128 + signal.SIGTERM
    assert roles(bundle) == ["generator"]
    monkeypatch.setattr(commands, "build_contrastive", build_contrastive)
    assert main([*asked, "--resume", "--set", "run.install=false"]) == 0
    assert roles(bundle) == ["generator"]
    assert main([*asked, "--resume"]) == 0
    assert roles(bundle) == ["generator", "contrastive"]
