import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

from tests.helpers.pictures import write_shard
from tests.helpers.training import assert_equal, tiny_generator, write_bundle
from train.core.checkpoint import load_checkpoint
from train.core.processes import agree, number_and_count, own_folder, own_seed, training_device

ROOT = Path(__file__).resolve().parents[3]
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
EXCHANGE = """
import numpy as np
import torch
from train.core.processes import *
assert training_device("cpu").type == "cpu"
with leaving_together():
    number, count = number_and_count()
    assert count == 2
    first, second, third = (torch.nn.Parameter(torch.zeros(n)) for n in (2, 3, 4))
    first.grad, third.grad = torch.full([2], number + 1.0), torch.full([4], 10.0 * number)
    average_gradients([first, second, third])
    assert first.grad.tolist() == [1.5] * 2 and second.grad is None and third.grad.tolist() == [5.0] * 4
    # Both are told to stop, by different signals: their sum would be the number of a third.
    assert agree(0.9 if number else 0.25, 15 if number else 2) == (0.25, 15)
    assert agree(0.25 if number else 0.9, 1 if number else 15) == (0.9, 15)
    assert agree(0.0, 0) == (0.0, 0)
    assert (own_seed(3) == 3) == (number == 0)
"""


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)


def launch(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=QUIET,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_one_process_is_a_run_of_one(tmp_path):
    assert training_device("cpu") == torch.device("cpu")
    assert number_and_count() == (0, 1)
    assert agree(0.5, 2) == (0.5, 2)
    assert own_seed(7) == 7
    assert own_folder(tmp_path) == tmp_path


def test_two_processes_of_torchrun_exchange_gradients_and_agree(tmp_path):
    script = tmp_path / "exchange.py"
    script.write_text(EXCHANGE)
    launch(*TORCHRUN, script)


def test_accelerate_launches_a_stage():
    """On a CPU `accelerate launch` starts one process; with GPUs it is torchrun that it calls."""
    command = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", 1, "--num_machines", 1)
    assert "evaluate" in launch(*command, "--mixed_precision", "no", "-m", "train", "--help").stdout


def test_the_processes_of_a_stage_hold_the_same_weights_and_other_pairs(tmp_path):
    generator = tiny_generator()
    write_bundle(tmp_path, generator=generator)
    pixels = ((generator(torch.randn(24, 16)).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    write_shard(tmp_path / "faces-0.tar", pixels[:12].numpy())
    write_shard(tmp_path / "faces-1.tar", pixels[12:].numpy())
    settings = {
        "bundle": str(tmp_path),
        "run": {"folder": str(tmp_path / "run")},
        "encoder": {"in_resolution": 32, "w_dim": 16, "channels": [8, 8, 8, 16, 16], "depths": [1, 1, 1, 1]},
        "data": {"images": str(tmp_path / "faces-{0..1}.tar"), "validation_fraction": 0.2},
        "pairs": {"pool": 16, "block": 8, "cache": str(tmp_path / "pool")},
        "phases": [
            {
                "name": "both",
                "max_steps": 3,
                "real_batch": 4,
                "pair_batch": 4,
                "loss": {"l2": 1.0, "latent": 0.1},
            }
        ],
        "hardware": {"device": "cpu", "precision": "float32"},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    command = ("train", "inversion", "--config", tmp_path / "toy.yaml")
    done = launch(*TORCHRUN, "-m", *command)
    assert (done.stdout + done.stderr).count("finished: 3 steps") == 1
    assert done.stdout.count("faces-{0..1}.tar: 24 pictures in 2 files\n") == 1
    run = tmp_path / "run"
    first, second = (load_checkpoint(run / part / "checkpoint.pt") for part in (".", "process-1"))
    assert first["position"]["total"] == second["position"]["total"] == 3
    ours, theirs = first["stage"]["optimiser"], second["stage"]["optimiser"]
    learned = [name for name in ours["module"] if name.endswith("weight")]
    assert_equal({n: ours["module"][n] for n in learned}, {n: theirs["module"][n] for n in learned})
    w = [np.load(tmp_path / "pool" / part / "w.npy") for part in (".", "process-1")]
    assert not np.array_equal(*w)
