import copy

import pytest
import torch
import torch.nn.functional as F

from inversion.chain import colour_fit
from inversion.chain.colour_fit import ColourFit, compared_colours
from stylegan2 import Generator
from stylegan2.errors import ShapeError
from stylegan2.image import shrink
from stylegan2.network.config import GeneratorConfig

MOVED = (-3, -1)  # rows of ws


def colours_of(generator, restraint=0.3):
    return ColourFit(generator, torch.tensor(0.5), synthesis=generator.synthesis, restraint=restraint)


@pytest.fixture
def colours(tiny_generator):
    return colours_of(tiny_generator)


def styles(generator, n=2):
    """Different in every layer."""
    noise = torch.randn(n, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(3))
    return generator.broadcast(generator.sample_w(n, seed=4)) + 0.3 * noise


def pictures(n=2):
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(5)) * 1.6 - 0.8
    return F.interpolate(coarse, size=32, mode="bilinear")


def compared(generator, colours, img, ws):
    activations, drawn = generator.synthesis.trace(*generator.synthesis.lower(ws, colours.first), ws)
    return compared_colours(img, drawn.clamp(-1, 1), activations, colours.side)


def fit(generator, colours, img, ws):
    return colours(*compared(generator, colours, img, ws), ws)


def test_colours_come_closer(tiny_generator, colours):
    img, ws = pictures(), styles(tiny_generator)
    before, after = (
        (tiny_generator.synthesis(x) - img).square().mean((1, 2, 3))
        for x in (ws, fit(tiny_generator, colours, img, ws))
    )
    assert (after < 0.8 * before).all()


def test_nothing_but_colours_moves(tiny_generator, colours):
    ws = styles(tiny_generator)
    moved = fit(tiny_generator, colours, pictures(), ws)
    same = [k for k in range(tiny_generator.num_ws) if k - tiny_generator.num_ws not in MOVED]
    assert torch.equal(moved[:, same], ws[:, same])
    assert all((moved[:, row] - ws[:, row]).abs().amax(1).min() > 1e-2 for row in MOVED)
    for resolution in (16, 32):  # the activations that ToRGB reads
        found, expected = (tiny_generator.synthesis.features(x, resolution) for x in (moved, ws))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_colours_are_those_of_least_squares(tiny_generator, colours):
    img, ws = pictures(), styles(tiny_generator)
    missing, palette = compared(tiny_generator, colours, img, ws)
    moved = colours(missing, palette, ws)
    restraint = torch.linalg.cholesky(colours.restraint).mH
    for n in range(len(img)):
        added = [  # the picture that each movement adds
            torch.einsum("oc,c,chw->ohw", colours.weight, tint, palette[n].double()).flatten()
            for tint in colours.tints.T
        ]
        rows = torch.cat([torch.stack(added, 1) / colours.side, restraint])
        wanted = torch.cat([missing[n].double().flatten() / colours.side, torch.zeros(len(added))])
        z = torch.linalg.lstsq(rows, wanted[:, None]).solution[:, 0]
        border = colours.lower_moves.shape[1]
        for row, moves, part in (
            (-3, colours.lower_moves, z[:border]),
            (-1, colours.last_moves, z[border:]),
        ):
            step = moved[n, row] - ws[n, row]
            torch.testing.assert_close(step, (moves @ part).float(), atol=1e-4, rtol=1e-3)


def test_colours_that_the_generator_can_draw_are_found(tiny_generator, monkeypatch):
    monkeypatch.setattr(colour_fit, "PENALTY", 1e-12)
    pale = copy.deepcopy(tiny_generator)
    for block in pale.synthesis.blocks:  # pale enough that nothing is cut off
        block.torgb.weight.data *= 0.1
    ws = styles(pale)
    other = ws.clone()
    other[:, -1] += torch.randn(2, 32, generator=torch.Generator().manual_seed(6))
    img = pale.synthesis(other)
    assert img.abs().max() < 1
    colours = colours_of(pale, 0.0)
    found = pale.synthesis(fit(pale, colours, img, ws))
    before = (pale.synthesis(ws) - img).square().mean()
    assert (found - img).square().mean() < 1e-3 * before


def test_restraint_spares_other_faces(tiny_generator):
    img, ws = pictures(), styles(tiny_generator)
    others = tiny_generator.broadcast(tiny_generator.sample_w(4, seed=9))
    changes = []
    for restraint in (0.0, 0.1, 1.0):
        colours = colours_of(tiny_generator, restraint)
        moved = fit(tiny_generator, colours, img, ws)[:1] - ws[:1]
        change = tiny_generator.synthesis(others + moved) - tiny_generator.synthesis(others)
        changes.append(change.square().mean())
    assert changes[0] > 1.2 * changes[1] > 1.4 * changes[2]


def test_a_picture_is_fitted_as_it_is_alone(tiny_generator, colours):
    img, ws = pictures(3), styles(tiny_generator, 3)
    together = fit(tiny_generator, colours, img, ws)
    alone = fit(tiny_generator, colours, img[1:2], ws[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-3)


def test_a_row_that_the_next_layer_sees_in_full_stays():
    torch.manual_seed(0)
    widths = {4: 8, 8: 8, 16: 8, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channels=widths)
    generator = Generator(config).eval().requires_grad_(False)
    colours, ws = (
        ColourFit(generator, torch.tensor(0.5), synthesis=generator.synthesis, restraint=0.3),
        styles(generator),
    )
    moved = fit(generator, colours, pictures(), ws)
    assert torch.equal(moved[:, :-1], ws[:, :-1])
    assert not torch.equal(moved[:, -1], ws[:, -1])


def test_what_other_faces_say_is_kept_and_found_again(tiny_generator, tmp_path, monkeypatch):
    def fitted(keep):
        spread = torch.tensor(0.5)
        return ColourFit(
            tiny_generator, spread, synthesis=tiny_generator.synthesis, restraint=0.3, keep=keep
        ).restraint

    fresh = fitted(None)
    assert torch.equal(fitted(tmp_path), fresh)
    (file,) = tmp_path.glob("colours-*")
    with monkeypatch.context() as alone:
        alone.setattr(tiny_generator, "sample_w", lambda *_, **__: pytest.fail("is kept"))
        assert torch.equal(fitted(tmp_path), fresh)
    file.write_bytes(file.read_bytes()[:100])  # damaged
    assert torch.equal(fitted(tmp_path), fresh)
    with torch.no_grad():
        tiny_generator.synthesis.b32.conv1.weight += 1  # another model
    assert not torch.equal(fitted(tmp_path), fresh)
    (tmp_path / "a file").write_text("")
    assert torch.isfinite(fitted(tmp_path / "a file" / "below")).all()


def test_what_is_compared_is_averaged(tiny_generator):
    img, ws = pictures(), styles(tiny_generator)
    activations, drawn = tiny_generator.synthesis.trace(*tiny_generator.synthesis.lower(ws, 16), ws)
    for side in (2, 16):  # in two steps, and in one
        missing, palette = compared_colours(img, drawn, activations, side)
        torch.testing.assert_close(missing, shrink(img, side) - shrink(drawn, side))
        torch.testing.assert_close(palette, torch.cat([shrink(x, side) for x in activations], 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": torch.zeros(2, 1, 32, 32)}, "missing"),
        ({"missing": torch.zeros(2, 3, 8, 8)}, "missing"),
        ({"palette": torch.zeros(2, 16, 8, 8)}, "palette"),
        ({"ws": torch.zeros(2, 7, 32)}, "ws"),
    ],
)
def test_other_shapes_are_refused(tiny_generator, colours, change, message):
    ws = styles(tiny_generator)
    missing, palette = compared(tiny_generator, colours, pictures(), ws)
    given = {"missing": missing, "palette": palette, "ws": ws, **change}
    with pytest.raises(ShapeError, match=rf"^{message}"):
        colours(**given)


@pytest.mark.parametrize(
    ("img", "drawn", "message"),
    [((2, 1, 32, 32), (2, 1, 32, 32), "img"), ((2, 3, 32, 32), (1, 3, 32, 32), "drawn")],
)
def test_pictures_of_other_shapes_are_not_compared(img, drawn, message):
    with pytest.raises(ShapeError, match=rf"^{message}"):
        compared_colours(torch.zeros(img), torch.zeros(drawn), [], 16)
