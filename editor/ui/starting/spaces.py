"""Which kind of Space of Hugging Face this is, if any."""

import importlib.util
import os


def is_zerogpu() -> bool:
    """Whether this is such a Space, by the variable that its package goes by, and the package is there."""
    said = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return said and importlib.util.find_spec("spaces") is not None
