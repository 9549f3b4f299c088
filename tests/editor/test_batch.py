import io
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from editor.batch.__main__ import main, share
from editor.batch.journal import Journal
from editor.batch.latents import LatentShards
from editor.batch.run import BatchWork, run_batch
from editor.batch.sources import find_items
from editor.errors import BatchError
from inversion.directions.errors import DirectionError, StrengthError
from stylegan2.errors import ConfigError
from tests.helpers.pictures import two_faces


def encoded(pixels, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, quality=95)
    return out.getvalue()


@pytest.fixture
def photos(tmp_path, astronaut):
    """A folder: a photo, one of two faces in a subfolder, a broken one, a shard of two, and what is none."""
    root = tmp_path / "photos"
    (root / "more").mkdir(parents=True)
    (root / "a.jpg").write_bytes(encoded(astronaut, "JPEG"))
    (root / "more" / "pair.png").write_bytes(encoded(two_faces(astronaut)))
    (root / "broken.jpg").write_bytes(b"no picture")
    (root / "notes.txt").write_text("none")
    (root / ".hidden.jpg").write_bytes(b"none")
    with tarfile.open(root / "shard.tar", "w") as shard:
        for name, data in (
            ("x/000.png", encoded(astronaut[:, ::-1].copy())),
            ("001.webp", encoded(astronaut, "WEBP")),
            ("001.json", b"{}"),
            ("../outside.png", b"none"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return root


NAMES = ["a.jpg", "broken.jpg", "more/pair.png", "shard/001.webp", "shard/x/000.png"]


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def kept_latents(folder):
    """Names and tensors of all shards; the order of metadata in a file is not always the same."""
    found = {}
    for path in sorted(folder.glob("*")):
        with safe_open(path, "pt") as kept:
            names = json.loads(kept.metadata()["names"])
            found[path.name] = names, {name: kept.get_tensor(name).tolist() for name in kept.keys()}  # noqa: SIM118
    return found


def lines(folder):
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]


def test_photos_are_found_in_folders_and_shards(photos):
    items = find_items(photos)
    assert [item.name for item in items] == NAMES
    assert items[0].read() == (photos / "a.jpg").read_bytes()
    assert Image.open(io.BytesIO(items[3].read())).format == "WEBP"
    assert [item.name for item in find_items(photos / "shard.tar")] == NAMES[3:]
    assert [item.name for item in find_items(photos / "a.jpg")] == NAMES[:1]


def test_what_holds_no_photo_is_refused(tmp_path):
    with pytest.raises(BatchError, match="no such file"):
        find_items(tmp_path / "nowhere")
    with pytest.raises(BatchError, match="no photo there"):
        find_items(tmp_path)
    (tmp_path / "bad.tar").write_bytes(b"none")
    with pytest.raises(BatchError, match=r"bad\.tar"):
        find_items(tmp_path)


def test_every_photo_is_edited_and_what_fails_is_noted(tiny_editor, photos, tmp_path, astronaut):
    out, latents, told = tmp_path / "out", tmp_path / "latents", []
    work = BatchWork(strengths={"smile": 2.0}, every_face=True, space="w", out=out, latents=latents)
    done = run_batch(tiny_editor, find_items(photos), work, report=told.append)
    assert (done.edited, done.failed, done.before) == (4, 1, 0)
    assert [line.split()[1].rstrip(":") for line in told] == NAMES
    entries = {entry["name"]: entry for entry in lines(out)}
    assert list(entries) == NAMES
    assert entries["broken.jpg"]["error"]
    assert "out" not in entries["broken.jpg"]
    assert entries["more/pair.png"]["faces"] == [1, 2]
    sources = {item.name: item for item in find_items(photos)}
    for name in (NAMES[0], *NAMES[2:]):
        edited = np.asarray(Image.open(out / entries[name]["out"]).convert("RGB"))
        before = np.asarray(Image.open(io.BytesIO(sources[name].read())).convert("RGB"))
        assert edited.shape == before.shape
        assert (edited != before).any()
    (shard,) = latents.glob("*.safetensors")
    with safe_open(shard, "pt") as kept:
        assert json.loads(kept.metadata()["names"]) == [
            "a.jpg#1",
            "more/pair.png#1",
            "more/pair.png#2",
            "shard/001.webp#1",
            "shard/x/000.png#1",
        ]
        assert kept.metadata()["generator"] == tiny_editor.sha256
        session = tiny_editor.invert(astronaut)
        np.testing.assert_array_equal(kept.get_tensor("ws").shape, (5, *session.inversion.ws.shape[1:]))
    assert entries["a.jpg"]["latents"] == shard.name


@pytest.mark.parametrize("with_latents", [False, True])
def test_a_run_that_was_broken_off_goes_on_with_the_rest(
    tiny_editor, photos, tmp_path, monkeypatch, with_latents
):
    monkeypatch.setattr("editor.batch.run.FACES", 2)
    items = find_items(photos)

    def work(name):
        latents = tmp_path / f"{name}-latents" if with_latents else None
        return BatchWork(strengths={"smile": 2.0}, out=tmp_path / name, latents=latents)

    def killed(line):
        if line.startswith("4/"):
            raise KeyboardInterrupt

    whole = run_batch(tiny_editor, items, work("whole"))
    with pytest.raises(KeyboardInterrupt):
        run_batch(tiny_editor, items, work("parts"), report=killed)
    journal = next((tmp_path / "parts").glob("*.jsonl"))
    before = len(lines(tmp_path / "parts"))
    assert 0 < before < 5
    journal.write_text(journal.read_text() + '{"name": "shar')  # and in the middle of a line
    rest = run_batch(tiny_editor, items, work("parts"))
    assert rest.before == before
    assert rest.edited + rest.failed == 5 - before
    assert sorted(entry["name"] for entry in lines(tmp_path / "parts")) == sorted(NAMES)
    found, wanted = files(tmp_path / "parts"), files(tmp_path / "whole")
    assert found == wanted
    if with_latents:
        assert kept_latents(tmp_path / "parts-latents") == kept_latents(tmp_path / "whole-latents")
    again = run_batch(tiny_editor, items, work("parts"))
    assert (again.edited, again.failed, again.before) == (0, 0, 5)
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes())
    mended = run_batch(tiny_editor, find_items(photos), work("parts"), again=True)
    assert (mended.edited, mended.before) == (1, 4)
    assert whole.failed == 1


def test_parts_share_the_photos_among_them(tiny_editor, photos, tmp_path):
    items, work = find_items(photos), BatchWork(strengths={"smile": 2.0}, out=tmp_path / "out")
    parts = [run_batch(tiny_editor, items, work, part=(number, 2)) for number in range(2)]
    assert [part.edited + part.failed for part in parts] == [3, 2]
    assert sorted(entry["name"] for entry in lines(tmp_path / "out")) == sorted(NAMES)


def test_a_folder_takes_one_kind_of_work(tiny_editor, photos, tmp_path):
    items = find_items(photos / "a.jpg")
    run_batch(tiny_editor, items, BatchWork(strengths={"smile": 2.0}, out=tmp_path / "out"))
    with pytest.raises(BatchError, match="other settings \\(strengths\\)"):
        run_batch(tiny_editor, items, BatchWork(strengths={"smile": 1.0}, out=tmp_path / "out"))
    (tmp_path / "file").write_text("")
    with pytest.raises(BatchError, match="file"):
        run_batch(tiny_editor, items, BatchWork(strengths={}, out=tmp_path / "file"))
    with pytest.raises(BatchError, match="missing"):
        run_batch(tiny_editor, items, BatchWork(strengths={}))


@pytest.mark.parametrize(
    ("strengths", "error"), [({"nothing": 1.0}, DirectionError), ({"smile": 99.0}, StrengthError)]
)
def test_edits_that_cannot_be_end_it_before_it_begins(tiny_editor, photos, tmp_path, strengths, error):
    with pytest.raises(error):
        run_batch(tiny_editor, find_items(photos), BatchWork(strengths=strengths, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_features_are_kept_where_the_model_has_them(refined_editor, astronaut, tmp_path):
    known = {"latents-3-00000.safetensors", "latents-1-00000.safetensors"}
    shards = LatentShards(tmp_path, 3, {"generator": "x"}, known)
    assert shards.write() is None
    session = refined_editor.invert(astronaut)
    shards.add("a.jpg", [session, session])
    assert len(shards) == 2
    assert shards.write() == "latents-3-00001.safetensors"
    with safe_open(tmp_path / "latents-3-00001.safetensors", "pt") as kept:
        assert set(kept.keys()) == {"w", "ws", "f_ws", "f"}
        code = kept.get_tensor("f").float()
    assert abs(code[1] - session.inversion.f.code[0]).max() <= 1e-3 * abs(session.inversion.f.code).max()


def test_a_journal_counts_only_whole_lines_and_the_last_word(tmp_path):
    journal = Journal(tmp_path, {"a": 1})
    journal.note({"name": "x", "error": "no"})
    journal.note({"name": "y"})
    assert Journal(tmp_path, {"a": 1}).done() == {"x", "y"}
    assert Journal(tmp_path, {"a": 1}).done(failed=False) == {"y"}
    journal.note({"name": "x"})
    assert Journal(tmp_path, {"a": 1}).done(failed=False) == {"x", "y"}


@pytest.mark.parametrize(("rank", "world"), [("1", "1"), ("-1", "2"), ("a", "2")])
def test_processes_must_be_told_apart(monkeypatch, rank, world):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(ConfigError, match="RANK"):
        share()


@pytest.mark.weights
def test_the_command_edits_a_folder(photos, tmp_path, capsys):
    arguments = [
        "batch",
        str(photos),
        "--set",
        "smile=1",
        "--out",
        str(tmp_path / "out"),
        "--engine",
        "torch",
    ]
    from editor.__main__ import main as editor_main

    assert editor_main(arguments) == 1  # one photo is broken
    assert "4 photos done, 1 failed" in capsys.readouterr().out
    assert (tmp_path / "out" / "more" / "pair.png").is_file()
    assert main([str(photos)]) == 2
    assert "--out: missing" in capsys.readouterr().err


@pytest.mark.parametrize("place", [".", "more", "../photos/new"])
def test_results_are_not_put_among_the_photos(photos, place, capsys):
    before = files(photos)
    assert main([str(photos), "--set", "smile=1", "--out", str(photos / place)]) == 2
    assert "name a folder beside them" in capsys.readouterr().err
    assert files(photos) == before


@pytest.mark.parametrize(
    "launcher",
    [
        ("accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1",
         "--mixed_precision", "no", "--dynamo_backend", "no"),
        ("torch.distributed.run", "--nproc-per-node", "2"),
    ],
    ids=["accelerate", "torchrun"],
)  # fmt: skip
def test_launchers_of_many_processes_start_it(launcher, tmp_path):
    command = [
        sys.executable,
        "-m",
        *launcher,
        "--module",
        "editor.batch",
        str(tmp_path / "none"),
        "--out",
        "x",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode != 0
    assert "none" in done.stderr
    assert "error:" in done.stderr
