from dataclasses import replace

import torch

from editor.ui.words import side_effects, slider_ends, slider_words
from inversion.directions.linear import EditDirection


def edit(effects, attribute="smile"):
    return EditDirection(
        name="smile", label="Smile", group="x", low="serious", high="smiling", direction=torch.eye(2)[0],
        sigma=1.0, range=(-1.0, 1.0), layers=(0, 1), effects=effects, attribute=attribute,
    )  # fmt: skip


def test_a_slider_says_its_ends_and_its_largest_side_effects():
    effects = {
        "smile": 1.0,
        "teeth": 0.3,
        "age": -0.6,
        "weight": 0.11,
        "beard": 0.2,
        "hat": 0.09,
        "happy": 2.0,
    }
    words = slider_words(edit(effects))
    assert words == "serious ↔ smiling · also: age -0.6, teeth +0.3, beard +0.2"
    assert side_effects(edit(effects), own=True)[0] == ("smile", 1.0)


def test_a_slider_that_nobody_measured_says_its_ends_alone():
    assert slider_words(edit({})) == "serious ↔ smiling"
    assert slider_words(edit({"age": 3.0}, attribute=None)) == "serious ↔ smiling"


def test_a_slider_stops_at_whole_steps_from_its_rest():
    assert slider_ends(replace(edit({}), range=(-1.38, 1.1))) == (-1.35, 1.1)
    assert slider_ends(replace(edit({}), range=(-0.75, 0.0))) == (-0.75, 0)
    assert slider_ends(replace(edit({}), range=(-10.5, 14.0), unit="degrees", unit_size=7.0)) == (-10, 14)
