"""Errors of the editor that an app's user can cause and cure."""

from stylegan2.errors import StyleGANError


class ImageInputError(StyleGANError, ValueError):
    """A picture cannot be read, or its size, shape or type is not allowed."""


class FaceError(ImageInputError):
    """A picture is fine but shows no face that can be used."""


class ModelSourceError(StyleGANError, OSError):
    """A model that was asked for by path or by name cannot be had."""
