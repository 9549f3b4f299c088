"""Generators in the layouts of other projects: recognised, translated to ours, and written back."""

from stylegan2.layouts.found import Found, Layout
from stylegan2.layouts.loading import Loaded, build_generator, load_any_generator
from stylegan2.layouts.recognise import recognise

__all__ = ["Found", "Layout", "Loaded", "build_generator", "load_any_generator", "recognise"]
