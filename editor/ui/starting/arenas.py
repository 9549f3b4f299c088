"""Fewer heaps: what many threads allocate and free stays less in pieces."""

import ctypes
import platform

_M_ARENA_MAX = -8  # of malloc.h in glibc
_FEW = 2  # about as many as there are threads that compute at once


def keep_heaps_few() -> bool:
    """Tell glibc's malloc, which opens a heap for every thread up to eight a core, to share two.

    To be called before there are threads.

    Returns:
        Whether this system's malloc can be told; others are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _FEW))
