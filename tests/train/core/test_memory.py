import platform
import resource
import subprocess
import sys

import pytest

from train.core.hardware import keep_memory

# Pages that the system had to provide while a large tensor was made and freed again and again.
PROGRAM = """
import resource, sys
import torch
from train.core.hardware import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this system's malloc cannot be told")
def test_a_tensor_finds_the_pages_of_the_one_before():
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True
            ).stdout
        )
        for how in ("keep", "leave")
    )
    pages = 10 * 64_000_000 // resource.getpagesize()
    assert given_back > 0.9 * pages
    assert kept < 0.05 * pages


def test_another_malloc_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_memory() is False
