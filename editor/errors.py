"""Errors of the editor that an app's user can cause and cure."""

import struct
import zlib

from stylegan2.errors import StyleGANError

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


class ImageInputError(StyleGANError, ValueError):
    """A picture cannot be read, or its size, shape or type is not allowed."""


class FaceError(ImageInputError):
    """A picture is fine but shows no face that can be used."""


class NoFaceError(FaceError):
    """A picture shows no face at all; what is in it may be edited in a box."""


class BoxError(ImageInputError):
    """A box does not lie within its photo, or is too small."""


class RecipeError(StyleGANError, ValueError):
    """A saved edit cannot be read, or does not fit the model or the photo."""


class BatchError(StyleGANError, OSError):
    """Photos of a batch, or the folder of its results, cannot be had."""


class LiveError(StyleGANError, RuntimeError):
    """Moving pictures cannot be edited any more, or not now."""


class ModelSourceError(StyleGANError, OSError):
    """A model that was asked for by path or by name cannot be had."""


class VideoError(StyleGANError, ValueError):
    """A clip cannot be read, edited or written."""
