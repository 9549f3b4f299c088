import json
import os
import subprocess
import sys
from pathlib import Path

from stylegan2.settings import read_settings
from train.__main__ import build_parser
from train.recipes.ablation import SPACES, table
from train.refiners.config import RefinementConfig

ROOT = Path(__file__).resolve().parents[3]
VARIANTS = [
    "base",
    "no-contrastive",
    "align-against-reconstruction",
    "paper-losses",
    "no-attention",
    "reference-attention",
    "f16",
    "no-edited-pairs",
    "no-detail",
    "fixed-offset",
    "replaced-activation",
    "second-look",
]
STAND_IN = """#!{python}
import json, pathlib, sys
arguments = sys.argv[2:]
if arguments[0] == "train.recipes.ablation":
    sys.exit()
with open("{calls}", "a") as file:
    print(json.dumps(arguments[1:]), file=file)
if arguments[1] == "evaluate":
    pathlib.Path(arguments[-1]).parent.mkdir(parents=True)
    pathlib.Path(arguments[-1]).touch()
"""


def test_the_variants_differ_in_what_they_are_named_for_and_are_skipped_when_finished(tmp_path):
    calls, python, runs = tmp_path / "calls", tmp_path / "python", tmp_path / "runs"
    python.write_text(STAND_IN.format(python=sys.executable, calls=calls))
    python.chmod(0o755)
    command = ["bash", str(ROOT / "train" / "recipes" / "ablation.sh"), str(runs)]
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "STEPS": "7"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    told = [json.loads(line) for line in calls.read_text().splitlines()]
    options = [build_parser().parse_args(arguments) for arguments in told]
    trainings = [read_settings(ROOT / o.config, RefinementConfig, o.set) for o in options[::2]]
    found = {config.run.folder.name: config for config in trainings}
    assert list(found) == VARIANTS
    base = found["base"]
    assert all(config.phases[0].max_steps == 7 for config in trainings)
    assert (base.phases[0].loss.align, found["no-contrastive"].phases[0].loss.align) == (0.1, 0.0)
    assert found["align-against-reconstruction"].align_against == "reconstruction"
    assert [found[f"{name}-attention"].refiners.attention for name in ("no", "reference")] == [
        "none",
        "reference",
    ]
    paper = found["paper-losses"].phases[0].loss
    assert {(part.l2, part.perceptual, part.identity) for part in (paper.w, paper.ws, paper.f)} == {
        (1, 0.2, 0.1)
    }
    assert (paper.offset, paper.align) == (0.01, 0.1)
    assert (base.refiners.f_resolution, found["f16"].refiners.f_resolution) == (32, 16)
    assert (base.phases[0].pair_batch, found["no-edited-pairs"].phases[0].pair_batch) == (6, 0)
    assert (base.phases[0].loss.kept_detail, found["no-detail"].phases[0].loss.kept_detail) == (0.2, 0.0)
    assert (base.phases[0].loss.edit.detail, found["no-detail"].phases[0].loss.edit.detail) == (0.15, 0.0)
    assert [found[name].refiners.feature for name in ("base", "fixed-offset", "replaced-activation")] == [
        *("carried", "offset", "replacement")
    ]
    assert (base.refiners.second_look, found["second-look"].refiners.second_look) == (False, True)
    assert {o.encoder for o in options[1::2]} == {runs / name / "encoder.safetensors" for name in VARIANTS}
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert again.stdout.count("finished before, skipped") == len(VARIANTS)


def test_the_table_has_a_row_for_every_variant_that_was_measured(tmp_path):
    for i, name in enumerate(("second", "first")):
        file = tmp_path / name / "evaluation.json"
        file.parent.mkdir()
        spaces = {
            space: {"psnr_median": 20 + i + k, "identity_median": 0.5} for k, space in enumerate(SPACES)
        }
        file.write_text(json.dumps({"spaces": spaces, "edits": spaces}))
        os.utime(file, (1 - i, 1 - i))
    rows = table(tmp_path).splitlines()
    assert rows[0].startswith("| variant | w, dB | w+, dB | f, dB | edited w, dB |")
    assert rows[2] == "| first | 21.00 | 22.00 | 23.00 | 21.00 | 22.00 | 23.00 | 0.50 |"
    assert rows[3].startswith("| second | 20.00 |")
    assert len(rows) == 4
