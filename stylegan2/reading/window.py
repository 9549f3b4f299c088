"""Window: the file that `pickletools.genops` reads, over bytes that are there, with bounds on each read."""

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError
from stylegan2.reading.pickle.budget import Budget

MAX_TEXT_BYTES = 32 << 20  # of one string; text can take four times its length in memory
MAX_INTEGER_BYTES = 32
MAX_LINE_BYTES = 1024  # of numbers and names that are written as text
VIEWED_BYTES = 1 << 16  # from this length on, bytes objects are views instead of copies

_CHUNK_BYTES = 1 << 14
_LONG4 = 0x8B
_BYTES = (ord("B"), 0x8E)  # BINBYTES, BINBYTES8
_TEXT_LINES = (ord("S"), ord("V"))  # STRING, UNICODE


class Window:
    """A reading position in a buffer. No declared length is allocated before it is known to exist."""

    def __init__(self, data: memoryview, budget: Budget, start: int = 0) -> None:
        self._data, self._budget = data, budget
        self._position = self._opcode = start
        self._chunk, self._chunk_start = b"", start  # small reads are most, and fastest from bytes

    def tell(self) -> int:
        """Position in bytes; genops asks right before each opcode, which is how the opcode is known here."""
        self._opcode = self._position
        return self._position

    def read(self, count: int) -> bytes | memoryview:
        """The next `count` bytes; long bytes objects as views.

        Raises:
            UnreadableFileError: Fewer are left.
            UnsafeFileError: An integer or a text of absurd length.
        """
        start = self._position - self._chunk_start
        piece = self._chunk[start : start + count]
        if len(piece) != count:
            return self._read_on(count)
        self._position += count
        return piece

    def _read_on(self, count: int) -> bytes | memoryview:
        """Beyond the chunk at hand."""
        start, end = self._position, self._position + count
        if end > len(self._data):
            raise UnreadableFileError(
                f"pickle ends early: wants {count} bytes at {start}, has {len(self._data) - start};"
                " the file is truncated, fetch it again"
            )
        self._position = end
        if count > MAX_INTEGER_BYTES:
            return self._read_long(start, count)
        self._chunk, self._chunk_start = bytes(self._data[start : start + _CHUNK_BYTES]), start
        return self._chunk[:count]

    def _read_long(self, start: int, count: int) -> bytes | memoryview:
        opcode, piece = self._data[self._opcode], self._data[start : start + count]
        if opcode == _LONG4:
            raise UnsafeFileError(f"an integer of {count} bytes; at most {MAX_INTEGER_BYTES} are read")
        if count >= VIEWED_BYTES:
            if opcode in _BYTES:
                return piece
            if count > MAX_TEXT_BYTES:
                raise UnsafeFileError(f"a text of {count} bytes; at most {MAX_TEXT_BYTES} are read")
            self._budget.copy(count)
        return bytes(piece)

    def readline(self) -> bytes:
        """The next line, its end included.

        Raises:
            UnreadableFileError: No line end is left.
            UnsafeFileError: A number or name of absurd length.
        """
        start = self._position
        most = MAX_TEXT_BYTES if self._data[self._opcode] in _TEXT_LINES else MAX_LINE_BYTES
        length = 128
        # Doubling keeps the cost in line with what is found.
        while True:
            piece = bytes(self._data[start : start + length])
            found = piece.find(b"\n") + 1
            if found:
                break
            if len(piece) < length:
                raise UnreadableFileError("pickle ends within a line; the file is truncated, fetch it again")
            if length >= most:
                raise UnsafeFileError(f"a number or name longer than {most} characters; refused")
            length *= 2
        self._position = start + found
        if found >= VIEWED_BYTES:
            self._budget.copy(found)
        return piece[:found]
