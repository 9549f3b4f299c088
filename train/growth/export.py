"""A grown model as a bundle: the files of the one that it grew from, and its block."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from stylegan2.aside import written_aside
from stylegan2.bundle.block import BLOCK_FILE, save_block
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.bundle.folder import BUNDLE_FILE, ModelBundle
from stylegan2.network.synthesis import SynthesisBlock
from stylegan2.reading.listing import read_listing
from train.core.checkpoint import write_weights
from train.gan.stage import BUNDLE_FOLDER


class GrownBundle:
    """Writes a block into a folder's `bundle`, which holds all that the model needs.

    Args:
        origin: What the block was trained on.
    """

    def __init__(self, origin: ModelBundle) -> None:
        self._origin = origin

    def write(self, folder: Path, block: SynthesisBlock, facts: dict[str, Any]) -> None:
        """Write; files of the origin are copied once."""
        origin, home = self._origin, folder / BUNDLE_FOLDER
        home.mkdir(parents=True, exist_ok=True)
        path = home / BLOCK_FILE
        about = {**facts, "generator_sha256": origin.generator_sha256}
        write_weights(path, about, lambda file, told: save_block(block, file, told))
        listing = dict(read_listing(origin.folder / BUNDLE_FILE))
        files = dict(listing["files"])
        for entry in files.values():
            if not (home / entry["file"]).is_file():
                with written_aside(home / entry["file"]) as partial:
                    shutil.copyfile(origin.folder / entry["file"], partial)
        files["block"] = {"file": BLOCK_FILE, "sha256": file_sha256(path)}
        resolution = 2 * origin.resolution
        listing |= {"name": f"{origin.name}-{resolution}", "resolution": resolution, "files": files}
        with written_aside(home / BUNDLE_FILE) as partial:
            partial.write_text(yaml.safe_dump(listing, sort_keys=False), encoding="utf-8")
