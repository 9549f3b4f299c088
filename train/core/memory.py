"""Memory of a process that trains on a processor: what tensors free is kept for the next ones."""

import ctypes
import platform

# Of malloc.h in glibc.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1  # bytes at the heap's end that go back to the system: as many as mallopt can be told


def keep_memory() -> bool:
    """Let malloc keep the memory of large tensors instead of giving it back each time one is freed.

    glibc asks the system for every tensor of some megabytes anew, and the system clears it page by page: a
    quarter of a training step on a processor (`python -m benchmarks.memory`). Kept memory was cleared once.
    The process stays as large as it has been at its largest, so this is for commands that end.

    Returns:
        Whether this system's malloc can be told; others are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
