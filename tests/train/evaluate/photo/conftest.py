import pytest

from editor.painter import Painter
from tests.helpers.opened import tiny_model
from tests.helpers.refiners import tiny_refiners
from train.evaluate.subject import Subject


@pytest.fixture
def work(tiny_generator, tiny_encoder, tiny_directions, tiny_transfer):
    model = tiny_model(tiny_generator, tiny_encoder, tiny_refiners(tiny_encoder))
    known = {name: vars(edit) | {"effects": {"red": 1.0}} for name, edit in tiny_directions.items()}
    edits = type(tiny_directions)(
        {name: type(tiny_directions[name])(**values) for name, values in known.items()}
    )
    return Subject(model=model, directions=edits), Painter(model.decoder, edits, tiny_transfer)
