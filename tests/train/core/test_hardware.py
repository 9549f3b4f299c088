import os
from pathlib import Path

import pytest
from torch._inductor.runtime.cache_dir_utils import cache_dir

from train.core.hardware import keep_compiled

NAME = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """No folder named for compiled code, and a cache folder of the project's own."""
    monkeypatch.setenv(NAME, "")  # put back after the test, whatever it sets
    monkeypatch.delenv(NAME)
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


def test_compiled_code_is_kept_in_the_users_cache_folder(environment):
    assert keep_compiled()
    assert os.environ[NAME] == str(environment)
    assert cache_dir() == str(environment)  # what torch.compile makes of it
    assert environment.is_dir()


def test_a_relative_cache_folder_stays_the_one_that_was_meant(environment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLCAE_CACHE_DIR", "here")
    assert keep_compiled()
    assert Path(os.environ[NAME]) == tmp_path / "here" / "compiled"


def test_a_folder_that_the_user_names_stays(environment, monkeypatch, tmp_path):
    monkeypatch.setenv(NAME, str(tmp_path / "mine"))
    assert not keep_compiled()
    assert os.environ[NAME] == str(tmp_path / "mine")
    assert not environment.exists()


def test_a_cache_folder_that_cannot_be_made_leaves_torch_its_own(environment, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLCAE_CACHE_DIR", str(tmp_path / "file"))
    assert not keep_compiled()
    assert NAME not in os.environ


def test_a_cache_folder_that_cannot_be_written_leaves_torch_its_own(environment, monkeypatch):
    monkeypatch.setattr("train.core.hardware.os.access", lambda folder, mode: False)
    assert not keep_compiled()
    assert NAME not in os.environ
