"""How well the attribute network tells faces that no training read: `python -m train.attributes`.

Ages, sexes and ratings are those of the shard's notes; glasses, hats, hair and the like what the face parser
finds, or with `--drawn` a shard of hand-drawn parts, what people drew. Beside it the same of the age and sex
networks of `--metrics-dir`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from editor.face.warp import resized
from editor.measure.attribute_network import BUNDLED_ATTRIBUTES, NAMES, SIDE, load_attributes, tell
from editor.measure.attributes import age_and_gender, load_networks
from editor.parts.network import SIDE as PARSED_SIDE
from editor.parts.parser import FaceParser
from stylegan2.errors import CheckpointError
from train.attributes.faces import parts_of, read_known, values_of
from train.attributes.measures import area_under_curve, qualities
from train.evaluate.config import DEFAULT_METRICS
from train.parts.faces import read_faces


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=BUNDLED_ATTRIBUTES, help="attributes.safetensors")
    parser.add_argument("--data", required=True, help="shard of faces with notes")
    parser.add_argument("--drawn", help="shard of faces with hand-drawn parts")
    parser.add_argument("--metrics-dir", type=Path, default=DEFAULT_METRICS)
    args = parser.parse_args()
    network, device = load_attributes(args.weights), torch.device("cpu")
    faces = FaceParser()
    faces.engine.prepare()
    faces.engine.wait()
    pixels, known = [], []
    for picture, told in read_known(args.data):
        large = resized(picture, PARSED_SIDE)
        pixels.append(large)
        known.append(values_of({**told, **parts_of(faces.parts(large))}))
    small, truth = np.stack([resized(each, SIDE) for each in pixels]), torch.from_numpy(np.stack(known))
    shown(f"{len(small)} faces of {args.data}", qualities(tell(network, small, device), truth), truth)
    try:
        networks = load_networks(args.metrics_dir)
    except CheckpointError as missing:
        print(f"no other networks to compare with: {missing}")
    else:
        others = torch.tensor([age_and_gender(networks, each) for each in pixels])
        age, sex = (~truth[:, NAMES.index(name)].isnan() for name in ("age", "male"))
        error = (others[age, 0] - truth[age, 0]).abs().mean()
        auc = area_under_curve(others[sex, 1], truth[sex, NAMES.index("male")])
        print(f"networks of the metrics folder: age_error {error:.3f}, male_auc {auc:.3f}")
    if args.drawn:
        drawn = read_faces(args.drawn)
        truth = torch.from_numpy(np.stack([values_of(parts_of(each)) for each in drawn.labels.numpy()]))
        small = np.stack([resized(each, SIDE) for each in drawn.pixels.numpy()])
        shown(f"{len(small)} faces of {args.drawn}", qualities(tell(network, small, device), truth), truth)


def shown(title: str, found: Mapping[str, float], truth: torch.Tensor) -> None:
    """Print what is known of the faces."""
    counts = (~truth.isnan()).sum(0).tolist()
    told = zip(found.items(), counts, strict=True)
    print(title + ":", ", ".join(f"{name} {value:.3f} ({count})" for (name, value), count in told if count))


if __name__ == "__main__":
    main()
