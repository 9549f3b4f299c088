"""Pictures a second of one stage of training, and the memory that it takes, as JSON; run in a checkout.

The settings are those of the recipe in train/configs, but for the pictures, which the bundled model draws:
what they show does not matter to the time. Uses nothing that the older checkout lacks.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.kills import draw_faces
from stylegan2.settings import read_settings
from train.assemble import build_generator, build_inversion, build_refinement
from train.core.hardware import keep_compiled, keep_memory
from train.encoder.config import InversionConfig
from train.gan.config import GeneratorTrainingConfig
from train.refiners.config import RefinementConfig

FACES, WARM, STEPS = 96, 4, 16  # a multiple of the 16 steps after which a penalty is due
DATA = ["data.validation_fraction=0.1", "data.validation_images=4", "data.shuffle_buffer=8"]
PAIRS = ["pairs.pool=64", "pairs.cache=null", "identity_weights=null"]
STAGES = {
    "generator": (build_generator, GeneratorTrainingConfig, ["feature_images=0"], 0),
    "inversion": (
        build_inversion,
        InversionConfig,
        [*PAIRS, "phases.1.loss.identity=0", "hardware.compile=true"],
        1,
    ),
    "refiners": (build_refinement, RefinementConfig, [*PAIRS, "phases.0.loss.f.identity=0"], 0),
}


def main(name: str) -> None:
    """Train a little and print."""
    build, kind, changes, phase = STAGES[name]
    keep_memory()
    keep_compiled()
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder) / "faces"
        draw_faces(faces, FACES)
        changed = [f"data.images={faces}", *DATA, *changes]
        config = read_settings(Path(f"train/configs/{name}.yaml"), kind, changed)
        stage = build(config, report=lambda _: None)
        stage.enter_phase(phase)
        stage.prepare(lambda done, total: None)
        for step in range(WARM):
            stage.step(step, 0.0)
        begin = time.perf_counter()
        for step in range(WARM, WARM + STEPS):
            stage.step(step, 0.0)
        seconds = time.perf_counter() - begin
    images = stage.phases[phase].images * STEPS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({f"{name}: images/s": images / seconds, f"{name}: memory at its peak, MB": peak / 1e6}))


if __name__ == "__main__":
    main(sys.argv[1])
