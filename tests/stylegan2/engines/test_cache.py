import subprocess
import sys
from pathlib import Path

import pytest

from stylegan2.engines.cache import cache_folder

NAMES = ("CLCAE_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
HOMELESS = """
import pwd, sys
def nobody(number): raise KeyError(number)
pwd.getpwuid = nobody
from stylegan2.engines.cache import cache_folder
folder = cache_folder()
assert folder == cache_folder()
(folder / "kept").write_text("")
print(folder, oct(folder.stat().st_mode & 0o777))
"""


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_cache_is_where_it_is_asked_to_be(environment, tmp_path):
    environment.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "clcae-editor"
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "clcae-editor"
    environment.setenv("CLCAE_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_user_without_a_home_gets_a_cache_for_the_time_being(environment):
    root = Path(__file__).resolve().parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", HOMELESS],
        cwd=root,
        env={"PATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    folder, mode = ran.stdout.split()
    assert mode == "0o700"  # nobody else may put anything there
    assert not Path(folder).exists()  # it went with its process
    assert ran.stderr.count("\n") == 1
    assert folder in ran.stderr
    assert "no home folder" in ran.stderr
