import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from editor.parts.checkpoint import load_face_parser
from editor.parts.labels import HEAD, Part
from editor.parts.network import SIDE, FaceParserNetwork
from train.core.config import HardwareConfig, RunConfig
from train.core.loop import training_loop
from train.errors import DatasetError
from train.parts.config import PartsConfig, PartsPhaseConfig
from train.parts.faces import UNKNOWN, PartFaces, read_faces, vary
from train.parts.stage import PARTS_FILE, PartsStage, part_overlaps


def written(path, masks, side=SIDE):
    with tarfile.open(path, "w") as tar:
        for number, mask in enumerate(masks):
            for suffix, array in (("webp", np.full((side, side, 3), 90, np.uint8)), ("png", mask)):
                buffer = io.BytesIO()
                Image.fromarray(array).save(buffer, "WEBP" if suffix == "webp" else "PNG", lossless=True)
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = buffer.tell()
                tar.addfile(info, io.BytesIO(buffer.getvalue()))
            text = json.dumps({"source": "test"}).encode()
            info = tarfile.TarInfo(f"{number:06}.json")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


def test_left_and_right_become_one(tmp_path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[0, :19] = range(19)
    faces = read_faces(written(tmp_path / "faces.tar", [mask, mask]))
    assert faces.pixels.shape == (2, SIDE, SIDE, 3)
    row = faces.labels[0, 0, :19].tolist()
    assert row[4] == row[5] == Part.EYES
    assert row[6] == row[7] == Part.BROWS
    assert row[8] == row[9] == Part.EARS
    assert (row[0], row[13], row[18]) == (Part.BACKGROUND, Part.HAIR, Part.CLOTHES)
    assert set(row) == set(range(len(Part)))


def test_shards_that_are_none_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="missing, damaged"):
        read_faces(tmp_path / "none.tar")
    with pytest.raises(DatasetError, match="no faces"):
        read_faces(written(tmp_path / "empty.tar", []))
    with pytest.raises(DatasetError, match="expected a picture of 256 px"):
        read_faces(written(tmp_path / "wide.tar", [np.full((SIDE, SIDE), 99, np.uint8)]))
    with pytest.raises(DatasetError, match="expected a picture of 256 px"):
        read_faces(written(tmp_path / "small.tar", [np.zeros((64, 64), np.uint8)], side=64))


def blocks(count=6):
    """Faces whose colour says their part."""
    rng = np.random.default_rng(0)
    labels = rng.choice([Part.BACKGROUND, Part.SKIN, Part.HAIR], (count, 4, 4)).astype(np.uint8)
    labels = labels.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    shades = np.zeros(len(Part), np.uint8)
    shades[[Part.BACKGROUND, Part.SKIN, Part.HAIR]] = (40, 220, 120)
    pixels = np.repeat(shades[labels][..., None], 3, axis=3)
    return PartFaces(torch.from_numpy(pixels), torch.from_numpy(labels))


def test_pictures_and_parts_are_varied_together():
    faces = blocks(4)
    img = faces.pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    varied, labels = vary(img, faces.labels, torch.Generator().manual_seed(0))
    assert varied.shape == img.shape
    assert labels.shape == faces.labels.shape
    assert (labels == UNKNOWN).any()
    known = set(labels.unique().tolist()) - {UNKNOWN}
    assert known <= {Part.BACKGROUND, Part.SKIN, Part.HAIR}
    for number in range(4):  # brightness still tells the parts apart
        shade = varied[number].mean(0)
        means = [shade[labels[number] == part].mean() for part in (Part.BACKGROUND, Part.HAIR, Part.SKIN)]
        means = [float(mean) for mean in means if mean.isfinite()]
        assert means == sorted(means)


def test_overlap_is_intersection_over_union():
    found = torch.tensor([[[Part.SKIN, Part.SKIN], [Part.HAIR, Part.BACKGROUND]]], dtype=torch.uint8)
    drawn = torch.tensor([[[Part.SKIN, Part.NOSE], [Part.HAIR, Part.CLOTHES]]], dtype=torch.uint8)
    overlaps = part_overlaps(found, drawn)
    assert overlaps["skin"] == 0.5
    assert overlaps["hair"] == 1
    assert overlaps["nose"] == 0
    assert overlaps["hat"] != overlaps["hat"]
    assert overlaps["head"] == 1
    assert Part.NECK in HEAD
    assert Part.CLOTHES not in HEAD


def test_training_learns_and_writes_what_the_product_reads(tmp_path):
    phase = PartsPhaseConfig(name="parts", max_steps=12, batch=2, lr=3e-3, warmup_steps=1, ema=0.5)
    config = PartsConfig(
        faces="unused",
        run=RunConfig(folder=tmp_path / "run", validate_every=12, checkpoint_every=12, log_every=4),
        phases=(phase,),
        validation_fraction=0.2,
        hardware=HardwareConfig(device="cpu", precision="float32", channels_last=False),
    )
    torch.manual_seed(0)
    stage = PartsStage(config, FaceParserNetwork(), blocks(), torch.device("cpu"))
    losses = [float(stage.step(step, 0.0)["cross_entropy"]) for step in range(2)]
    training_loop(stage, config.run, {}, resume=False, report=lambda line: None)
    losses.append(float(stage.step(20, 0.9)["cross_entropy"]))
    assert losses[-1] < losses[0]
    assert set(stage.validate()) >= {"mean_iou", "head", "hair"}
    assert stage.grid().shape == (3 * SIDE, SIDE, 3)
    load_face_parser(tmp_path / "run" / PARTS_FILE)
