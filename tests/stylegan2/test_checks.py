import subprocess
import sys

import pytest
import torch

from stylegan2.checks import check_finite
from stylegan2.errors import CheckpointError


def test_numbers_pass_however_large():
    huge = torch.full((4,), 3e38)  # their sum is beyond float32
    check_finite("weights", {"huge": huge, "double": huge.double() * 10, "whole": torch.arange(4)})


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_what_is_no_number_is_named(lost, dtype):
    state = {"good": torch.ones(3), "bad": torch.tensor([1.0, lost, -lost], dtype=dtype)}
    with pytest.raises(CheckpointError, match="weights: bad of 2 tensors hold NaN or infinity"):
        check_finite("weights", state)


def test_shapes_are_told_without_the_library_of_decompositions():
    """Which torch takes a second to load."""
    code = (
        "import sys\n"
        "from stylegan2.layouts.translation import expected_shapes\n"
        "from stylegan2.network.config import GeneratorConfig\n"
        "shapes = expected_shapes(GeneratorConfig(img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2))\n"
        "assert shapes['mapping.fc0.weight'] == (8, 8)\n"
        "print([name for name in ('sympy', 'torch._inductor') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
