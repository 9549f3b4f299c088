"""Budget: how much of time and memory one file may ask for, over all its levels."""

from collections.abc import Iterator
from contextlib import contextmanager

from stylegan2.reading.errors import UnsafeFileError

MAX_STEPS = 250_000  # pickle opcodes and list items; a tensor takes 50 to 60, one of a plain pickle 100
MAX_NESTED = 4  # files within files; tensors in NVIDIA's pickles are at 1
MAX_DEPTH = 128  # containers within containers; a whole pickled module reaches about 40
MAX_NODES = 1_000_000  # values of the tree, those that are referred to twice counted twice
SLACK_BYTES = 64 << 20  # what even the smallest file may ask for


class Budget:
    """Counts what reading a file costs, and refuses to go on where a bound is passed."""

    def __init__(self, file_bytes: int, limit_bytes: int) -> None:
        # Four times: the longest way that data takes is text as escaped, as decoded, as bytes, as a tensor.
        self.limit_bytes = limit_bytes
        self._copies = min(limit_bytes, 4 * file_bytes + SLACK_BYTES)
        self._steps = MAX_STEPS
        self._nested = 0

    def step(self, count: int = 1) -> None:
        """Spend `count` units of work.

        Raises:
            UnsafeFileError: More than `MAX_STEPS` in all.
        """
        self._steps -= count
        if self._steps < 0:
            raise UnsafeFileError(f"takes more than {MAX_STEPS} steps to read; refused")

    def copy(self, count: int) -> None:
        """Spend `count` bytes of memory beside the file itself.

        Raises:
            UnsafeFileError: More than the file's length accounts for.
        """
        self._copies -= count
        if self._copies < 0:
            raise UnsafeFileError(
                f"asks for {count} bytes, more than a file of its length may hold in all; refused"
            )

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Hold one more file within the file open.

        Raises:
            UnsafeFileError: Deeper than `MAX_NESTED`.
        """
        if self._nested == MAX_NESTED:
            raise UnsafeFileError(f"files nested deeper than {MAX_NESTED}; refused")
        self._nested += 1
        try:
            yield
        finally:
            self._nested -= 1
