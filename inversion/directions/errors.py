"""Errors of edits that an app's user can cause and cure."""

from stylegan2.errors import StyleGANError


class DirectionError(StyleGANError, LookupError):
    """An edit direction was asked for that the loaded model does not have."""


class StrengthError(StyleGANError, ValueError):
    """The strength of an edit is not a number or lies outside its range."""
