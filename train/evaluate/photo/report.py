"""report_photo_edits: `measure_photo_edits` with the product's painter and the instruments of a folder."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from editor.face.landmarks import FaceDetector
from editor.measure.attributes import find_mesh
from editor.painter import Painter
from editor.transfer.photo_transfer import PhotoTransfer
from stylegan2.errors import CheckpointError, EngineError
from train.data.images import find_images, read_images
from train.errors import DatasetError
from train.evaluate.config import PHOTO_SIDE, EvaluateConfig
from train.evaluate.photo.edits import Instruments, measure_photo_edits
from train.evaluate.retention import open_instruments, own_attribute
from train.evaluate.subject import Subject
from train.losses.identity import IdentityEmbedder

BATCH = 16  # faces read at once


def report_photo_edits(
    subject: Subject,
    config: EvaluateConfig,
    identity: IdentityEmbedder | None,
    count: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Edit the photos of `config.data`, and invented faces.

    Returns:
        What `measure_photo_edits` returns; {"photo": "n/a", "photo_reason": ...} where the model has no
        directions whose effects are known, or an instrument is missing.
    """
    if not any(own_attribute(direction) for direction in subject.directions.values()):
        return {"photo": "n/a", "photo_reason": "the model has no directions whose effects are known"}
    limit = min(config.photo_faces, config.limit or config.photo_faces)
    try:
        photos = torch.cat(list(read_images(find_images(config.data), PHOTO_SIDE, BATCH, limit=limit)))
    except DatasetError as error:  # they are large enough for the model, and too small for photos
        return {"photo": "n/a", "photo_reason": str(error)}
    side = subject.generator.img_resolution
    transfer = PhotoTransfer(side, device=config.device, engine=config.engine)
    transfer.prepare()
    transfer.wait()
    painter = Painter(subject.model.decoder, subject.directions, transfer)
    try:
        with open_instruments(config.metrics_dir) as measure_face, FaceDetector() as detector:
            instruments = Instruments(
                measure_face=measure_face, outline=partial(find_mesh, detector), identity=identity
            )
            return measure_photo_edits(
                subject,
                painter,
                photos,
                instruments,
                true_faces=config.edit_faces,
                spaces=tuple(subject.measured_spaces()),
                count=count,
            )
    except (CheckpointError, EngineError) as error:
        return {"photo": "n/a", "photo_reason": str(error)}
