from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from stylegan2.errors import ConfigError
from stylegan2.settings import read_settings, settings_from_dict, settings_to_dict


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float
    steps: int = 10
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self):
        if self.lr <= 0:
            raise ConfigError(f"lr: {self.lr}; must be positive")


@dataclass(frozen=True, kw_only=True)
class Settings:
    optim: Optim
    phases: tuple[Optim, ...] = ()
    folder: Path | None = None
    device: Literal["auto", "cpu"] = "auto"
    mirror: bool = False
    widths: dict[int, int] = field(default_factory=dict)


def read(tmp_path, text, *overrides):
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file, Settings, overrides)


def test_fields_that_are_not_settable_are_no_settings():
    @dataclass(frozen=True, kw_only=True)
    class Fixed(Optim):
        steps: int = field(default=3, init=False)

    settings = settings_from_dict({"lr": 0.5}, Fixed)
    assert settings_to_dict(settings) == {"lr": 0.5, "betas": [0.9, 0.99]}
    assert settings_from_dict(settings_to_dict(settings), Fixed) == settings
    with pytest.raises(ConfigError, match=r"steps: unknown key; known: \['betas', 'lr'\]"):
        settings_from_dict({"lr": 0.5, "steps": 3}, Fixed)


def test_a_full_file_becomes_the_dataclass(tmp_path):
    text = "optim: {lr: 1, betas: [0.5, 0.9]}\nphases: [{lr: 0.1}, {lr: 0.2, steps: 3}]\n"
    text += "folder: a/b\nwidths: {4: 8}"
    settings = read(tmp_path, text)
    phases = (Optim(lr=0.1), Optim(lr=0.2, steps=3))
    assert settings == Settings(
        optim=Optim(lr=1.0, betas=(0.5, 0.9)), phases=phases, folder=Path("a/b"), widths={4: 8}
    )
    assert isinstance(settings.optim.lr, float)


def test_written_settings_read_back_equal(tmp_path):
    settings = Settings(optim=Optim(lr=1e-4), phases=(Optim(lr=2.0),), folder=Path("x"), widths={4: 8})
    assert (
        settings_from_dict(yaml.safe_load(yaml.safe_dump(settings_to_dict(settings))), Settings) == settings
    )


def test_overrides_reach_mappings_lists_and_absent_keys(tmp_path):
    text = "optim: {lr: 1.0}\nphases: [{lr: 0.1}]"
    settings = read(
        tmp_path, text, "optim.lr=0.5", "phases.0.steps=7", "mirror=true", "folder=null", "device=cpu"
    )
    assert (settings.optim.lr, settings.phases[0].steps, settings.mirror, settings.folder) == (
        0.5,
        7,
        True,
        None,
    )
    assert settings.device == "cpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim: {lr: 1.0, size: 3}", r"optim\.size: unknown key; known: \['betas', 'lr', 'steps'\]"),
        ("optim: {steps: 3}", r"optim\.lr: missing"),
        ("{}", r"optim: missing"),
        ("optim: {lr: 1e-4}", r"optim\.lr: '1e-4'; expected a number .*write 1\.0e-04"),
        ("optim: {lr: fast}", r"optim\.lr: 'fast'; expected a number$"),
        ("optim: {lr: .nan}", r"optim\.lr: nan; expected a finite number"),
        ("optim: {lr: true}", r"optim\.lr: True; expected a number"),
        ("optim: {lr: 1.0, steps: 2.5}", r"optim\.steps: 2\.5; expected an integer"),
        ("optim: {lr: 1.0, steps: true}", r"optim\.steps: True; expected an integer"),
        ("optim: {lr: 1.0}\nmirror: 1", r"mirror: 1; expected true or false"),
        ("optim: {lr: 1.0}\ndevice: gpu", r"device: 'gpu'; must be one of \['auto', 'cpu'\]"),
        ("optim: {lr: 1.0}\nphases: [{lr: 1.0}, {lr: a}]", r"phases\.1\.lr: 'a'"),
        ("optim: {lr: 1.0}\nphases: 3", r"phases: 3; expected a list"),
        ("optim: {lr: 1.0, betas: [0.1]}", r"optim\.betas: 1 entries; expected 2"),
        ("optim: {lr: 1.0}\nwidths: 3", r"widths: 3; expected a mapping"),
        ("optim: {lr: 1.0}\nwidths: {a: 3}", r"widths key: 'a'; expected an integer"),
        ("optim: {lr: -1.0}", r"optim\.lr: -1\.0; must be positive"),
        ("optim: 3", r"optim: 3; expected a mapping"),
        ("- 1", r"top level: \[1\]; expected a mapping"),
        ("optim: {lr: 1.0, lr: 2.0}", r"key 'lr' is given twice"),
        ("optim: {lr: [", r"not a readable YAML file"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "settings.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr", r"expected a\.b=value"),
        ("optim..lr=1", r"expected a\.b=value"),
        ("optim.lr=[", r"the value is not YAML"),
        ("phases.5.lr=1.0", r"no entry '5' in a list of 1"),
        ("optim.lr.x=1", r"nothing to set 'x' in"),
        ("optim.speed=1", r"optim\.speed: unknown key"),
        ("optim.lr=1e-3", r"optim\.lr: '1e-3'"),
    ],
)
def test_a_bad_override_is_refused(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, "optim: {lr: 1.0}\nphases: [{lr: 1.0}]", override)


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: not a readable YAML file"):
        read_settings(tmp_path / "none.yaml", Settings)


def test_a_field_of_an_unsupported_type_is_refused():
    @dataclass
    class Odd:
        value: complex | int

    with pytest.raises(ConfigError, match=r"value: a setting may be of one type"):
        settings_from_dict({"value": 1}, Odd)
