"""StyleGAN2: the generator and its live renderer. Knows nothing of faces or user interfaces."""

from stylegan2.bundle.checkpoint import load_generator, save_generator
from stylegan2.bundle.folder import CropConfig, ModelBundle
from stylegan2.bundle.opening import load_bundle
from stylegan2.engines.renderer import Renderer
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator

__all__ = [
    "CropConfig",
    "Generator",
    "GeneratorConfig",
    "ModelBundle",
    "Renderer",
    "load_bundle",
    "load_generator",
    "save_generator",
]
