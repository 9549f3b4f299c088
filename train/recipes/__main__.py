"""What a recipe asks before it starts: `python -m train.recipes DATA...` prints `cpu true`, for instance."""

import os
import shutil
import sys
from collections.abc import Sequence

from stylegan2.engines.engine import choose_device
from stylegan2.errors import StyleGANError
from train.core.hardware import has_native_bfloat16
from train.data.images import find_images


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the data sets; print the device, and whether to compile on it. Exit code 2: data are missing."""
    try:
        for pattern in sys.argv[1:] if arguments is None else arguments:
            find_images(pattern)
        device = choose_device("auto")
    except StyleGANError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    compiler = shutil.which(os.environ.get("CXX", "g++"))  # torch.compile needs one, on a GPU too
    print(device.type, "true" if compiler and has_native_bfloat16(device) else "false")
    return 0


if __name__ == "__main__":
    sys.exit(main())
