"""Errors of training."""

from stylegan2.errors import StyleGANError


class DatasetError(StyleGANError, RuntimeError):
    """A data set is empty, damaged, or not made of aligned pictures."""
