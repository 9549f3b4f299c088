"""load_bundle: a model from a bundle's folder, or from a weights file of any layout."""

from pathlib import Path

from stylegan2.bundle_folder import AlignmentConfig, ModelBundle, read_bundle, save_bundle
from stylegan2.conversion import cached_bundle

__all__ = ["DEFAULT_BUNDLE", "AlignmentConfig", "ModelBundle", "load_bundle", "save_bundle"]

# The one place outside weights/ that names the bundled model.
DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "weights" / "faces128"


def load_bundle(path: str | Path = DEFAULT_BUNDLE) -> ModelBundle:
    """Read the bundle in the folder `path`, or convert the weights file `path` to one, once.

    Raises:
        CheckpointError: No such folder or file, a missing entry, a file whose content differs, or a weights
            file without a generator that runs here.
    """
    path = Path(path)
    return cached_bundle(path) if path.is_file() else read_bundle(path)
