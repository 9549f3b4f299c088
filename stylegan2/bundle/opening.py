"""load_bundle: a model from a bundle's folder, or from a weights file of any layout."""

from pathlib import Path

from stylegan2.bundle.conversion import cached_bundle
from stylegan2.bundle.folder import ModelBundle, read_bundle

# The one place outside weights/ that names the bundled model.
DEFAULT_BUNDLE = Path(__file__).resolve().parents[2] / "weights" / "faces128"


def load_bundle(path: str | Path = DEFAULT_BUNDLE) -> ModelBundle:
    """Read the bundle in the folder `path`, or convert the weights file `path` to one, once.

    Raises:
        CheckpointError: No such folder or file, a missing entry, a file whose content differs, or a weights
            file without a generator that runs here.
    """
    path = Path(path)
    return cached_bundle(path) if path.is_file() else read_bundle(path)
