"""StyleGAN2: the generator and its live renderer. Knows nothing of faces or user interfaces."""

from stylegan2.bundle import AlignmentConfig, ModelBundle, load_bundle
from stylegan2.checkpoint import load_generator, save_generator
from stylegan2.config import GeneratorConfig
from stylegan2.generator import Generator
from stylegan2.renderer import Renderer

__all__ = [
    "AlignmentConfig",
    "Generator",
    "GeneratorConfig",
    "ModelBundle",
    "Renderer",
    "load_bundle",
    "load_generator",
    "save_generator",
]
