"""What a model is opened with."""

import pytest
import torch

from editor.model.opening import model_of_results, open_model
from inversion.directions.linear import EditDirection, apply_direction
from inversion.directions.writing import save_directions
from inversion.directions.zones import ZONES
from stylegan2.bundle.block import widened
from stylegan2.bundle.opening import load_bundle
from tests.helpers.training import tiny_generator, write_bundle


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "tiny").mkdir()
    write_bundle(tmp_path / "tiny", generator=tiny_generator())
    return load_bundle(tmp_path / "tiny")


def edit(generator, **changes):
    n = torch.nn.functional.normalize(torch.randn(generator.w_dim), dim=0)
    common = {"label": "x", "group": "x", "low": "less", "high": "more", "sigma": 5.0, "range": (-3.0, 3.0)}
    return EditDirection(name="smile", direction=n, layers=(0, generator.num_ws), **common, **changes)


def test_zones_are_drawn_where_an_edit_is_limited_to_some(bundle, tmp_path):
    generator = open_model(bundle, engine="torch").generator
    zoned = edit(generator, zones={"mouth": 1.0})
    for edits, zones in (([edit(generator)], 1), ([zoned], len(ZONES))):
        save_directions(tmp_path / "edits", edits, bundle.generator_sha256, made_by="a test")
        opened = open_model(bundle, directions=tmp_path / "edits", engine="torch")
        assert opened.decoder.renderer.zones == zones
    ws = generator.broadcast(generator.w_avg[None])
    plain, drawn = (opened.decoder.renderer.render(each) for each in (ws, apply_direction(ws, zoned, 3.0)))
    assert (plain != drawn).any()


def test_results_of_a_grown_model_are_not_those_of_the_one_below():
    below, above = tiny_generator(), widened(tiny_generator(), 8)
    assert model_of_results("abc", below) == "abc"
    assert model_of_results("abc", above) == "abc, 64 px"
