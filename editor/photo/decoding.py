"""What goes wrong in Pillow's decoders."""

import struct
import zlib

# What Pillow's decoders are known to raise on damaged data; it has no common base class of its own.
DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
