import contextlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from editor.batch import zipped
from editor.batch.run import BatchWork
from editor.batch.sources import Item
from editor.batch.zipped import ERRORS, MOST_BYTES, MOST_PHOTOS, run_zipped, sent_items
from editor.errors import BatchError
from inversion.directions.bank import DirectionBank
from inversion.directions.errors import DirectionError
from tests.helpers.pictures import encoded, two_faces


def packed(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def results(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def run(editor, items, work, out, **options):
    return run_zipped(editor, items, work, out, turn=contextlib.nullcontext, **options)


def test_photos_come_loose_and_in_zips_by_the_last_part_of_their_names(tmp_path):
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"loose")
    names = ["a.jpg", "sub/b.HEIC", "../up.png", "/root.webp", "C:\\dir\\win.tif"]
    others = ["notes.txt", "__MACOSX/._a.jpg", "sub/", "deeper.zip"]
    archive = packed(tmp_path / "some.ZIP", {name: name.encode() for name in names + others})
    items = sent_items([loose, archive])
    assert [item.name for item in items] == ["loose.png", "a.jpg", "b.HEIC", "up.png", "root.webp", "win.tif"]
    assert [item.read() for item in items[:3]] == [b"loose", b"a.jpg", b"sub/b.HEIC"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loose.png", "some.ZIP"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "photos: got 0; 1 to 200"),
        ({"notes.txt": b""}, "photos: got 0"),
        ({f"{number}.jpg": b"" for number in range(MOST_PHOTOS + 1)}, "photos: got 201"),
        ({f"{number}.png": bytes(29_000_000) for number in range(11)}, "319 MB together; at most 300"),
        ({"big.png": bytes(31_000_000)}, "big.png is larger than 30 MB"),
    ],
)
def test_bounds_are_held_before_anything_is_unpacked(tmp_path, monkeypatch, files, words):
    archive = packed(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED)
    assert archive.stat().st_size < MOST_BYTES / 100
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(BatchError, match=words):
        sent_items([archive])


def test_damaged_zips_are_refused_by_their_names(tmp_path):
    whole = packed(tmp_path / "whole.zip", {"a.jpg": b"x" * 1000}).read_bytes()
    broken = tmp_path / "broken.zip"
    for data in (b"", b"no zip", whole[: len(whole) // 2], whole[:-22] + b"PK\x05\x06" + bytes([255] * 18)):
        broken.write_bytes(data)
        with pytest.raises(BatchError, match=r"broken\.zip: "):
            sent_items([broken])


def test_a_list_of_files_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    archive = packed(tmp_path / "many.zip", {f"{number}.txt": b"" for number in range(100)})
    monkeypatch.setattr(zipped, "_DIRECTORY", 1000)
    with pytest.raises(BatchError, match=r"many\.zip: a zip of too many files"):
        sent_items([archive])


def test_results_keep_their_names_and_say_that_they_were_edited(tiny_editor, tmp_path, astronaut):
    files = {
        "one.jpg": encoded(astronaut, "JPEG"),
        "sub/one.jpg": encoded(astronaut, "JPEG"),
        "two.bmp": encoded(astronaut, "BMP"),
        "blank.png": encoded(np.full((300, 300, 3), 128, np.uint8), "PNG"),
        "errors.txt.png": encoded(astronaut, "PNG"),
    }
    items, told = sent_items([packed(tmp_path / "sent.zip", files)]), []
    work = BatchWork(strengths={"smile": 2})
    done = run(tiny_editor, items, work, tmp_path / "out.zip", report=told.append)
    assert (done.edited, done.failed) == (4, 1)
    found = results(tmp_path / "out.zip")
    assert list(found) == ["one.jpg", "one (2).jpg", "two.bmp.png", "errors.txt.png", ERRORS]
    assert found[ERRORS].decode().startswith("blank.png: no face found")
    assert [line.split(":")[0] for line in told] == [f"{number} of 5" for number in range(1, 6)]
    changed = (pixels_of(found["two.bmp.png"]) != astronaut).any(2)
    assert changed.any()
    assert not changed[400:].any()
    assert found["one.jpg"] == found["one (2).jpg"]
    assert np.abs(pixels_of(found["one.jpg"]).astype(int) - astronaut)[changed].mean() > 5
    assert b"smile +2" in found["one.jpg"]
    assert "smile +2" in Image.open(io.BytesIO(found["two.bmp.png"])).info["Description"]


def test_every_face_and_own_edits_are_taken(tiny_editor, tmp_path, astronaut, tiny_directions):
    pair = two_faces(astronaut)
    (tmp_path / "pair.png").write_bytes(encoded(pair, "PNG"))
    own = DirectionBank({"own-a": tiny_directions["smile"]})
    changed = {}
    for every in (False, True):
        work = BatchWork(strengths={"own-a": 2}, every_face=every, own=own)
        run(tiny_editor, sent_items([tmp_path / "pair.png"]), work, tmp_path / "out.zip")
        picture = pixels_of(results(tmp_path / "out.zip")["pair.png"])
        left, right = np.array_split((picture != pair).any(2), 2, 1)
        changed[every] = [bool(left.any()), bool(right.any())]
    assert sorted(changed[False]) == [False, True]
    assert changed[True] == [True, True]


def test_it_can_be_stopped_and_keeps_what_is_done(tiny_editor, tmp_path, astronaut):
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut, "JPEG"))
    told = []
    items = sent_items([tmp_path / "a.jpg"]) * 3
    work = BatchWork(strengths={})
    done = run(
        tiny_editor, items, work, tmp_path / "out.zip", report=told.append, stopped=lambda: len(told) == 1
    )
    assert (done.edited, len(told), list(results(tmp_path / "out.zip"))) == (1, 1, ["a.jpg"])


def test_errors_name_no_place_on_this_machine_and_what_is_wrong_for_all_ends_it(tiny_editor, tmp_path):
    def gone():
        raise FileNotFoundError(2, "No such file", str(tmp_path / "secret"))

    odd = packed(tmp_path / "odd.zip", {"damaged.png": b"x" * 500})
    data = bytearray(odd.read_bytes())
    data[60] ^= 1
    odd.write_bytes(data)
    items = [Item("gone.png", gone), *sent_items([odd])]
    assert run(tiny_editor, items, BatchWork(strengths={}), tmp_path / "out.zip").failed == 2
    lines = results(tmp_path / "out.zip")[ERRORS].decode().splitlines()
    assert lines[0] == "gone.png: cannot be read or written"
    assert lines[1].startswith("damaged.png: photo: cannot be unpacked (Bad CRC-32")
    with pytest.raises(DirectionError, match="no direction"):
        run(tiny_editor, items, BatchWork(strengths={"smlie": 1}), tmp_path / "no.zip")


def test_results_are_bounded_too(tiny_editor, tmp_path, astronaut, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut, "JPEG"))
    monkeypatch.setattr(zipped, "MOST_RESULT", 1000)
    done = run(
        tiny_editor, sent_items([tmp_path / "a.jpg"]) * 2, BatchWork(strengths={}), tmp_path / "out.zip"
    )
    assert (done.edited, done.failed) == (1, 1)
    assert b"the zip is full" in results(tmp_path / "out.zip")[ERRORS]
