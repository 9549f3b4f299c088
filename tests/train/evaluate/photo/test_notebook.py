import math

import numpy as np
import pytest
import torch

from editor.errors import BatchError
from stylegan2.errors import ConfigError
from tests.helpers.instruments import middle, redness
from train.evaluate.photo.edits import Instruments, measure_photo_edits
from train.evaluate.photo.notebook import Column, Measured, Notebook


class _KilledError(Exception):
    pass


def test_a_measurement_that_was_ended_goes_on_and_finds_the_same(work, tmp_path):
    subject, painter = work
    photos = torch.randint(0, 256, (3, 256, 256, 3), dtype=torch.uint8)
    looked = []

    def see(crop):
        looked.append(crop)
        return middle(crop)

    def measure(outline, notebook=None):
        tools = Instruments(measure_face=redness, outline=outline, identity=None)
        return measure_photo_edits(
            subject, painter, photos, tools, true_faces=2, spaces=("f",), notebook=notebook
        )

    whole = measure(middle)

    def die_at_the_last(crop):
        if len(looked) == 2:
            raise _KilledError
        return see(crop)

    settings = {"model": "tiny"}
    with pytest.raises(_KilledError):
        measure(die_at_the_last, Notebook(tmp_path, settings))
    with (tmp_path / "faces-0.jsonl").open("a") as half:
        half.write('{"name": "photo 2", "fou')  # a kill within a line
    looked.clear()
    assert measure(see, Notebook(tmp_path, settings)) == whole
    assert len(looked) == 1
    assert measure(lambda _: pytest.fail("is known"), Notebook(tmp_path, settings)) == whole


def test_processes_share_the_faces_of_a_notebook(tmp_path):
    def measured(number):
        return Measured(real={"f": {"smile": Column(low=[float(number)])}})

    for part in range(2):
        book = Notebook(tmp_path, {}, part=part, parts=2)
        found = [book.of("photo", number, lambda n=number: measured(n)) for number in range(5)]
    # The second knows what the first found; without parts all is there.
    assert found == [measured(number) for number in range(5)]
    whole = Notebook(tmp_path, {})
    assert [whole.of("photo", n, lambda: pytest.fail("is known")) for n in range(5)] == found
    alone = Notebook(tmp_path / "alone", {}, part=1, parts=2)
    assert alone.of("photo", 2, lambda: pytest.fail("is another's")) == Measured()


def test_nothing_of_other_settings_is_taken(tmp_path):
    Notebook(tmp_path, {"model": "a"})
    with pytest.raises(BatchError, match=r"holds results of other settings \(model\)"):
        Notebook(tmp_path, {"model": "b"})
    with (tmp_path / "faces-0.jsonl").open("a") as file:
        file.write('{"name": "photo 0"}\n')
    with pytest.raises(ConfigError, match="no notebook of this measurement"):
        Notebook(tmp_path, {"model": "a"})


def test_faces_without_a_measure_stay_unknown(tmp_path):
    found = Measured(real={"f": {"smile": Column(low=[float("nan")], high=[1.0])}})
    book = Notebook(tmp_path, {})
    book.of("photo", 0, lambda: found)
    again = Notebook(tmp_path, {}).of("photo", 0, lambda: pytest.fail("is known"))
    assert math.isnan(again.real["f"]["smile"].low[0])
    both = Measured()
    both.add(found)
    both.add(again)
    assert np.isnan(both.real["f"]["smile"].low).tolist() == [True, True]
    assert both.real["f"]["smile"].high == [1.0, 1.0]
