from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import yaml

from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_to_dict
from tests.helpers.training import tiny_generator, write_bundle
from train.__main__ import main
from train.core.checkpoint import load_checkpoint, save_checkpoint, write_weights
from train.core.config import PairsConfig, RunConfig, ScheduleConfig
from train.core.logbook import claim_folder
from train.core.loop import training_loop
from train.core.resumption import changed_settings
from train.data.pairs import META_FILE, open_pairs


@dataclass
class Counting:
    """A stage that counts its steps."""

    phases: tuple[ScheduleConfig, ...]
    done: list[str] = field(default_factory=list)  # the phase of every step of this sitting
    count: int = 0
    index: int = 0

    def enter_phase(self, index):
        self.index = index

    def prepare(self, progress):
        pass

    def step(self, step, fraction):
        self.done.append(self.phases[self.index].name)
        self.count += 1
        return {"total": torch.tensor(float(self.count))}

    def validate(self):
        return {"count": float(self.count)}

    def grid(self):
        return torch.zeros(2, 2, 3, dtype=torch.uint8)

    def export(self, folder, steps):
        (folder / "weights").write_text(str(steps))

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


@pytest.fixture
def sit(tmp_path):
    """One sitting of a run: what it trained, how it ended, and what it said."""

    def trained(*steps, resume=False):
        phases = tuple(ScheduleConfig(name=f"p{i}", max_steps=count) for i, count in enumerate(steps))
        stage, said, run = Counting(phases), [], RunConfig(folder=tmp_path / "run")
        settings = {"phases": [settings_to_dict(phase) for phase in phases], "seed": 0}
        result = training_loop(stage, run, settings, resume=resume, report=said.append)
        return stage, result, said

    return trained


def test_a_finished_run_goes_on_where_its_last_phase_is_made_longer(sit, tmp_path):
    sit(3, 6)
    stage, result, said = sit(3, 12, resume=True)
    assert stage.done == 6 * ["p1"]
    assert result.position.total == stage.count == 15
    assert said[0] == "resumed with other settings: phases.1.max_steps: 6 -> 12"
    assert said[-1].startswith("finished: 15 steps")
    assert (tmp_path / "run" / "weights").read_text() == "15"


def test_a_finished_run_goes_on_with_phases_that_are_added(sit):
    sit(2)
    stage, result, said = sit(2, 3, resume=True)
    assert stage.done == 3 * ["p1"]
    assert result.position.total == 5
    assert "phases.1.name: not set -> p1" in said[0]


class Recorded:
    """In the place of a logbook: the mean of the losses by step."""

    lines: dict[int, float]

    def __init__(self, *_):
        pass

    def scalars(self, values, step):
        if "loss/total" in values:
            self.lines[step] = values["loss/total"]

    def grid(self, *_):
        pass

    def close(self):
        pass


class Dying(Counting):
    """A stage whose process dies in its sixth step."""

    def step(self, step, fraction):
        if self.count == 5:
            raise KeyboardInterrupt
        return super().step(step, fraction)


def test_logged_means_cover_every_step_since_the_last_ones(tmp_path, monkeypatch):
    Recorded.lines = {}
    monkeypatch.setattr("train.core.loop.Logbook", Recorded)
    phases = (ScheduleConfig(name="a", max_steps=10), ScheduleConfig(name="b", max_steps=3))
    run = RunConfig(folder=tmp_path / "run", log_every=4, checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        training_loop(Dying(phases), run, {}, resume=False, report=lambda _: None)
    assert Recorded.lines == {4: 2.5}
    training_loop(Counting(phases), run, {}, resume=True, report=lambda _: None)
    # 5 was lost with the process and came from its checkpoint; 9 and 10 end a phase, and so does 13.
    assert Recorded.lines == {4: 2.5, 8: 6.5, 10: 9.5, 12: 11.5, 13: 13.0}


@pytest.mark.parametrize("half", ['{"generator": "ab', "[1]", ""])
def test_a_pool_whose_description_is_damaged_is_named(tmp_path, half):
    generator = tiny_generator()
    config = PairsConfig(pool=16, block=16, cache=tmp_path / "pairs")
    open_pairs(generator, config, seed=0, fingerprint="ab")
    assert [file.name for file in config.cache.glob("*.partial")] == []
    (config.cache / META_FILE).write_text(half)
    with pytest.raises(ConfigError, match=r"pool\.json is damaged .*; delete the folder"):
        open_pairs(generator, config, seed=0, fingerprint="ab")


def test_a_finished_run_that_is_resumed_as_it_was_stays_finished(sit, tmp_path):
    sit(2, 3)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    stage, result, said = sit(2, 3, resume=True)
    assert not stage.done
    assert said == [f"finished: 5 steps, {result.position.total_seconds / 60:.1f} minutes of training"]
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_a_run_with_fewer_phases_than_it_has_begun_is_refused(sit):
    sit(2, 3)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: stands in phase 2; the settings have 1"):
        sit(2, resume=True)


def test_every_setting_that_differs_is_named():
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "e": []}
    now = {"a": 1, "b": {"c": [1, 3, 4], "d": "x"}, "e": [], "f": True}
    assert changed_settings(before, now) == [
        "b.c.1: 2 -> 3",
        "b.d: None -> x",
        "b.c.2: not set -> 4",
        "f: not set -> True",
    ]
    assert changed_settings(before, before) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"run\.folder: .*file.* cannot be written \("):
        claim_folder("run.folder", tmp_path / place)
    claim_folder("run.folder", tmp_path / "new" / "one")
    assert list((tmp_path / "new" / "one").iterdir()) == []


@pytest.mark.parametrize("stage", ["generator", "contrastive", "inversion", "refiners", "directions"])
def test_every_stage_says_in_one_sentence_that_its_folder_cannot_be_written(stage, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    configs = Path(__file__).resolve().parents[3] / "train" / "configs"
    place = "out" if stage == "directions" else "run.folder"
    changed = ["--set", f"{place}={tmp_path / 'taken'}"]
    assert main([stage, "--config", str(configs / f"{stage}.yaml"), *changed]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"error: {place}: {tmp_path / 'taken'} cannot be written (")
    assert "\n" not in said


def test_a_pool_that_cannot_be_written_is_named(tmp_path, capsys):
    write_bundle(tmp_path, generator=tiny_generator())
    (tmp_path / "taken").write_text("")
    settings = {
        "bundle": str(tmp_path),
        "run": {"folder": str(tmp_path / "run")},
        "contrastive": {"in_resolution": 32, "w_dim": 16},
        "pairs": {"pool": 16, "cache": str(tmp_path / "taken" / "pool")},
        "phases": [{"name": "a", "max_steps": 1, "pair_batch": 4}],
        "hardware": {"device": "cpu"},
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    assert main(["contrastive", "--config", str(tmp_path / "settings.yaml")]) == 2
    assert "error: pairs.cache: " in capsys.readouterr().err


def test_what_cannot_be_kept_is_named_and_spares_what_was_there(tmp_path):
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, {"a": 1})
    file.with_name("checkpoint.pt.partial").mkdir()  # in the way of what is written first
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: cannot be written \("):
        save_checkpoint(file, {"a": 2})
    assert load_checkpoint(file)["a"] == 1

    def full(path, told):
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"weights: cannot be written \(.*No space left"):
        write_weights(tmp_path / "weights", {}, full)
