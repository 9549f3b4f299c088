"""Memory that is free: back to the system."""

import ctypes
import gc
import sys


def give_memory_back() -> None:
    """Free what only cycles of references hold, and have the C library return it to the system."""
    gc.collect()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library
            return
