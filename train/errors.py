"""Errors of training."""

from stylegan2.errors import StyleGANError


class DivergedError(StyleGANError, RuntimeError):
    """A loss is not a number any more: nothing is learnt from then on."""


class DatasetError(StyleGANError, RuntimeError):
    """A data set is empty, damaged, or not made of cropped pictures."""
