"""IdentityMeter: whether two cropped faces are the same person, by a face network that the user names."""

import threading
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from editor.measure.identity_crop import template_in_crop, warp_to_template
from editor.photo.colour import Pixels
from stylegan2.bundle.folder import CropConfig
from stylegan2.errors import CheckpointError
from stylegan2.image import from_uint8


class IdentityMeter:
    """Cosine of the embeddings of two faces.

    No such network comes with the app: those there are were trained on pictures whose licences are unclear.

    Args:
        file: An ONNX network of the ArcFace family, [1, 3, 112, 112] in [-1, 1] to [1, D], for instance
            MobileFaceNet.
        crop_config: How the faces are cut.

    Raises:
        CheckpointError: The file is missing, or is no such network.
    """

    def __init__(self, file: str | Path, crop_config: CropConfig) -> None:
        if not Path(file).is_file():
            raise CheckpointError(f"{file}: no such file; name an ONNX network of the ArcFace family")
        self._to_crop = template_in_crop(crop_config).float()
        self._lock = threading.Lock()  # OpenCV's networks keep their input; visitors share this one
        try:
            self._network = cv2.dnn.readNetFromONNX(str(file))
            found = self._run(np.zeros((1, 3, 112, 112), np.float32))
        except cv2.error as error:
            raise CheckpointError(f"{file}: not a network that OpenCV can run: {error.err}") from error
        if found.ndim != 2 or len(found) != 1:
            raise CheckpointError(f"{file}: answers with shape {list(found.shape)}; must be [1, D]")

    def __call__(self, first: Pixels, second: Pixels) -> float:
        """Likeness of two cropped faces [R, R, 3] uint8, in [-1, 1]; 1 is the same picture."""
        a, b = self._embedding(first), self._embedding(second)
        return float(np.clip(a @ b, -1, 1))

    def _embedding(self, pixels: Pixels) -> NDArray[np.float32]:
        img = from_uint8(torch.from_numpy(np.ascontiguousarray(pixels))[None])
        found = self._run(warp_to_template(img, self._to_crop).numpy())[0]
        unit: NDArray[np.float32] = found / np.linalg.norm(found).clip(1e-12)
        return unit

    def _run(self, img: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            self._network.setInput(img)
            return np.array(self._network.forward(), np.float32)
